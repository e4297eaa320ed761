/* SHA-256. Spec: FIPS 180-4, 6.2. Freestanding: nothing but memcpy is expected from the outside. */
#ifndef SHIM_SHA256_H
#define SHIM_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_BLOCK_SIZE 64

struct sha256 {
	uint32_t state[8];
	uint32_t use_ni;	/* compress by the SHA extensions */
	uint32_t reserved;
	uint64_t size;		/* bytes taken so far */
	uint8_t block[SHA256_BLOCK_SIZE];
};

/* Start a digest in the fastest form that CPUID announces. */
void sha256_init(struct sha256 *hash);

/* Start a digest in portable C, whatever the CPU has. */
void sha256_init_portable(struct sha256 *hash);

void sha256_update(struct sha256 *hash, const void *data, size_t size);

/* Write the digest. The hash must be started again before it is used again. */
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* 1 when the CPU has the SHA extensions and the SSE levels that they need here, else 0. */
int sha256_has_ni(void);

#endif
