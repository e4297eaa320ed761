#include "check.h"

#include "reset.h"
#include "say.h"
#include "sha256.h"

#define ADDRESS_END (1ULL << 52)	/* Intel SDM volume 3, 4.1.4: MAXPHYADDR is at most 52 */

static int refuse(const char *what)
{
	say("bootshim purgatory: ");
	say(what);
	say("\n");
	return 0;
}

static int same(const void *left, const void *right, size_t size)
{
	const uint8_t *l = left, *r = right;
	uint8_t differs = 0;

	while (size--)
		differs |= *l++ ^ *r++;
	return !differs;
}

static int region_is_possible(const struct purgatory_region *region)
{
	return region->size && region->address < ADDRESS_END && region->size <= ADDRESS_END - region->address;
}

int check_args(const struct purgatory_args *args)
{
	if (!same(args->magic, PURGATORY_MAGIC, sizeof(args->magic)))
		return refuse("the argument block has a wrong magic");
	if (args->version != PURGATORY_VERSION || args->size != sizeof(*args) || args->flags & ~PURGATORY_FLAGS)
		return refuse("the argument block is of another version");
	if (!args->region_count || args->region_count > PURGATORY_REGION_MAX)
		return refuse("the argument block has a wrong region_count");
	for (uint32_t i = 0; i < args->region_count; i++)
		if (!region_is_possible(&args->regions[i]))
			return refuse("the argument block has an impossible region");
	if (!args->entry_address)
		return refuse("the argument block has no entry_address");
	if (args->flags & PURGATORY_ENTER_32 && (args->entry_address | args->boot_params_address) >> 32)
		return refuse("the argument block has a 32-bit entry above 4 GiB");
	return 1;
}

static enum sha256_form form_of(const struct purgatory_args *args)
{
	return args->flags & PURGATORY_PORTABLE ? SHA256_PORTABLE : sha256_best();
}

static void digest_of(const struct purgatory_region *region, enum sha256_form form, uint8_t digest[SHA256_SIZE])
{
	struct sha256 hash;

	sha256_init_form(&hash, form);
	sha256_update(&hash, (const void *)(uintptr_t)region->address, region->size);
	sha256_final(&hash, digest);
}

static void complain(const struct purgatory_region *region, const uint8_t found[SHA256_SIZE])
{
	say("bootshim purgatory: digest mismatch in ");
	say_name(region->name, sizeof(region->name));
	say(" at ");
	say_address(region->address);
	say("..");
	say_address(region->address + region->size);
	say("\n  expected ");
	say_bytes(region->sha256, SHA256_SIZE);
	say("\n  found    ");
	say_bytes(found, SHA256_SIZE);
	say("\n");
}

int check_regions(const struct purgatory_args *args)
{
	uint8_t found[SHA256_SIZE];
	int good = 1;

	for (uint32_t i = 0; i < args->region_count; i++) {
		digest_of(&args->regions[i], form_of(args), found);
		if (same(found, args->regions[i].sha256, SHA256_SIZE))
			continue;
		complain(&args->regions[i], found);
		good = 0;
	}
	return good;
}

static void praise(const struct purgatory_args *args)
{
	enum sha256_form form = form_of(args);

	say("bootshim purgatory: ");
	say_number(args->region_count);
	say(" regions good, by ");
	say(form == SHA256_NI ? "the SHA extensions\n" : form == SHA256_BMI2 ? "BMI2 code\n" : "portable code\n");
}

int purgatory_main(const struct purgatory_args *args)
{
	say_init(args);
	if (check_args(args) && check_regions(args)) {
		if (args->flags & PURGATORY_VERBOSE)
			praise(args);
		return 1;
	}
	refuse("not started, resetting the machine");
	reset(args);
	return 0;
}
