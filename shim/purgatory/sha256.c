/* SHA-256 in portable C and by the SHA extensions. Spec: FIPS 180-4, 4.1.2, 5.1.1, 6.2.2. */
#include "sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* FIPS 180-4, 4.2.2 */
static const uint32_t K[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	uint32_t x;

	__builtin_memcpy(&x, p, sizeof(x));
	return __builtin_bswap32(x);
}

static inline void store_be32(uint8_t *p, uint32_t x)
{
	x = __builtin_bswap32(x);
	__builtin_memcpy(p, &x, sizeof(x));
}

/* The rotations of the big sigmas are nested: fewer copies on two-operand machines. */
#define SIGMA0(a) ror(ror(ror(a, 9) ^ (a), 11) ^ (a), 2)
#define SIGMA1(e) ror(ror(ror(e, 14) ^ (e), 5) ^ (e), 6)
#define CH(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))
#define MAJ(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))

#define ROUND(a, b, c, d, e, f, g, h, i) do {					\
		h += SIGMA1(e) + CH(e, f, g) + K[t + (i)] + w[i];		\
		d += h;								\
		h += SIGMA0(a) + MAJ(a, b, c);					\
	} while (0)

#define EIGHT_ROUNDS(i) do {							\
		ROUND(a, b, c, d, e, f, g, h, (i) + 0);				\
		ROUND(h, a, b, c, d, e, f, g, (i) + 1);				\
		ROUND(g, h, a, b, c, d, e, f, (i) + 2);				\
		ROUND(f, g, h, a, b, c, d, e, (i) + 3);				\
		ROUND(e, f, g, h, a, b, c, d, (i) + 4);				\
		ROUND(d, e, f, g, h, a, b, c, (i) + 5);				\
		ROUND(c, d, e, f, g, h, a, b, (i) + 6);				\
		ROUND(b, c, d, e, f, g, h, a, (i) + 7);				\
	} while (0)

/* The next sixteen words of the message schedule, in place. */
static inline void schedule(uint32_t w[16])
{
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];

		w[i] += (ror(x, 7) ^ ror(x, 18) ^ x >> 3) + w[(i + 9) & 15] + (ror(y, 17) ^ ror(y, 19) ^ y >> 10);
	}
}

static inline __attribute__((always_inline))
void compress_in_c(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	for (; blocks; blocks--, data += SHA256_BLOCK_SIZE) {
		uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
		uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
		uint32_t w[16];

		for (int i = 0; i < 16; i++)
			w[i] = load_be32(data + 4 * i);
		for (int t = 0;;) {
			EIGHT_ROUNDS(0);
			EIGHT_ROUNDS(8);
			t += 16;
			if (t == 64)
				break;
			schedule(w);
		}
		state[0] += a; state[1] += b; state[2] += c; state[3] += d;
		state[4] += e; state[5] += f; state[6] += g; state[7] += h;
	}
}

static void compress_portable(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	compress_in_c(state, data, blocks);
}

#if defined(__x86_64__)

__attribute__((target("bmi,bmi2")))
static void compress_bmi2(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	compress_in_c(state, data, blocks);
}

#define NI __attribute__((target("sha,sse4.1,ssse3")))

/* The sixty-four rounds of one block, four at a time. Spec: Intel SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2. */
NI static inline __attribute__((always_inline))
void compress_block_ni(__m128i *abef, __m128i *cdgh, const uint8_t *data)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	const __m128i abef_before = *abef, cdgh_before = *cdgh;
	__m128i w[4], x;

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data + i), big_endian);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		x = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)K + i));
		*cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, x);
		*abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(x, 0x0e));
		if (i >= 12)
			continue;
		x = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
		x = _mm_add_epi32(x, _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]));
		w[i & 3] = _mm_sha256msg2_epu32(x, w[(i + 3) & 3]);
	}
	*abef = _mm_add_epi32(*abef, abef_before);
	*cdgh = _mm_add_epi32(*cdgh, cdgh_before);
}

NI static void compress_ni(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	__m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
	__m128i feba, dchg;

	for (; blocks; blocks--, data += SHA256_BLOCK_SIZE)
		compress_block_ni(&abef, &cdgh, data);
	feba = _mm_shuffle_epi32(abef, 0x1b);
	dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

enum sha256_form sha256_best(void)
{
	unsigned a, b, c, d, sse;

	if (!__get_cpuid(1, &a, &b, &sse, &d) || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return SHA256_PORTABLE;
	if (b & bit_SHA && sse & bit_SSSE3 && sse & bit_SSE4_1)
		return SHA256_NI;
	return b & bit_BMI && b & bit_BMI2 ? SHA256_BMI2 : SHA256_PORTABLE;
}

static void compress(struct sha256 *hash, const uint8_t *data, size_t blocks)
{
	if (hash->form == SHA256_NI)
		compress_ni(hash->state, data, blocks);
	else if (hash->form == SHA256_BMI2)
		compress_bmi2(hash->state, data, blocks);
	else
		compress_portable(hash->state, data, blocks);
}

#else

enum sha256_form sha256_best(void)
{
	return SHA256_PORTABLE;
}

static void compress(struct sha256 *hash, const uint8_t *data, size_t blocks)
{
	compress_portable(hash->state, data, blocks);
}

#endif

void sha256_init_form(struct sha256 *hash, enum sha256_form form)
{
	/* FIPS 180-4, 5.3.3 */
	hash->state[0] = 0x6a09e667;
	hash->state[1] = 0xbb67ae85;
	hash->state[2] = 0x3c6ef372;
	hash->state[3] = 0xa54ff53a;
	hash->state[4] = 0x510e527f;
	hash->state[5] = 0x9b05688c;
	hash->state[6] = 0x1f83d9ab;
	hash->state[7] = 0x5be0cd19;
	hash->form = form;
	hash->reserved = 0;
	hash->size = 0;
}

void sha256_init(struct sha256 *hash)
{
	sha256_init_form(hash, sha256_best());
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
	const uint8_t *next = data;
	size_t held = hash->size % SHA256_BLOCK_SIZE;
	size_t part;

	hash->size += size;
	if (held) {
		part = SHA256_BLOCK_SIZE - held < size ? SHA256_BLOCK_SIZE - held : size;
		__builtin_memcpy(hash->block + held, next, part);
		next += part;
		size -= part;
		if (held + part < SHA256_BLOCK_SIZE)
			return;
		compress(hash, hash->block, 1);
	}
	if (size >= SHA256_BLOCK_SIZE)
		compress(hash, next, size / SHA256_BLOCK_SIZE);
	if (size % SHA256_BLOCK_SIZE)
		__builtin_memcpy(hash->block, next + size / SHA256_BLOCK_SIZE * SHA256_BLOCK_SIZE, size % SHA256_BLOCK_SIZE);
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
	uint64_t bits = hash->size * 8;
	size_t held = hash->size % SHA256_BLOCK_SIZE;

	hash->block[held++] = 0x80;
	if (held > SHA256_BLOCK_SIZE - 8) {
		while (held < SHA256_BLOCK_SIZE)
			hash->block[held++] = 0;
		compress(hash, hash->block, 1);
		held = 0;
	}
	while (held < SHA256_BLOCK_SIZE - 8)
		hash->block[held++] = 0;
	store_be32(hash->block + 56, bits >> 32);
	store_be32(hash->block + 60, bits);
	compress(hash, hash->block, 1);
	for (int i = 0; i < 8; i++)
		store_be32(digest + 4 * i, hash->state[i]);
}
