/* SHA-256. Spec: FIPS 180-4, 6.2. Freestanding: nothing but memcpy is expected from the outside. */
#ifndef SHIM_SHA256_H
#define SHIM_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_BLOCK_SIZE 64

enum sha256_form {
	SHA256_PORTABLE,	/* C that runs everywhere */
	SHA256_BMI2,		/* the same C, compiled for rotations that leave the flags alone */
	SHA256_NI,		/* the SHA extensions */
};

struct sha256 {
	uint32_t state[8];
	uint32_t form;
	uint32_t reserved;
	uint64_t size;		/* bytes taken so far */
	uint8_t block[SHA256_BLOCK_SIZE];
};

/* Start a digest in the fastest form that CPUID announces. */
void sha256_init(struct sha256 *hash);

/* Start a digest in a given form, which the CPU must have. */
void sha256_init_form(struct sha256 *hash, enum sha256_form form);

void sha256_update(struct sha256 *hash, const void *data, size_t size);

/* Write the digest. The hash must be started again before it is used again. */
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* The fastest form that CPUID announces; a slower one is a smaller number. */
enum sha256_form sha256_best(void);

#endif
