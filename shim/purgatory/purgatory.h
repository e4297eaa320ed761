/*
 * The argument block of the purgatory: the one contract between shim/purgatory/args.py, which writes it into the
 * image, and the code here, which reads it. Little-endian; addresses are physical; a test compares the offsets.
 */
#ifndef SHIM_PURGATORY_H
#define SHIM_PURGATORY_H

#define PURGATORY_MAGIC "bspurga\0"	/* with the 0, eight bytes */
#define PURGATORY_VERSION 1
#define PURGATORY_REGION_MAX 32
#define PURGATORY_NAME_SIZE 16		/* with the final 0 */
#define PURGATORY_PAUSE_MAX_MS 60000

/* flags */
#define PURGATORY_ENTER_32 0x1		/* leave long mode and paging; entry and boot_params below 4 GiB */
#define PURGATORY_VGA 0x2		/* complain on the VGA text screen too; only set in a text mode */
#define PURGATORY_VERBOSE 0x4		/* say so when everything is as it should be, too */
#define PURGATORY_PORTABLE 0x8		/* digests in plain C, whatever the CPU has */
#define PURGATORY_FLAGS 0xf

#ifndef __ASSEMBLER__
#include <stdint.h>

struct purgatory_region {
	uint64_t address;
	uint64_t size;			/* bytes, at least 1 */
	uint8_t sha256[32];
	char name[PURGATORY_NAME_SIZE];
};

struct purgatory_args {
	char magic[8];
	uint32_t version;
	uint32_t size;			/* of this structure */
	uint32_t flags;
	uint32_t region_count;
	uint64_t entry_address;
	uint64_t boot_params_address;	/* handed over in rsi */
	uint16_t serial_port;		/* first I/O port of an 8250, 0 for none */
	uint16_t serial_divisor;	/* of 115200 baud, 8N1; 0 leaves the port as the first kernel set it */
	uint16_t reset_port;		/* the machine's own reset register (ACPI FADT), tried first; 0 for none */
	uint16_t reset_value;		/* a byte */
	uint32_t pause_ms;		/* after a refusal, before the reset; about, at most PURGATORY_PAUSE_MAX_MS */
	uint32_t reserved[3];
	struct purgatory_region regions[PURGATORY_REGION_MAX];
};

#endif
#endif
