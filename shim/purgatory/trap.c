/* Faults while checking, of memory that is not mapped above all: said, then a reset. Spec: Intel SDM vol. 3, 6.14. */
#include "purgatory.h"
#include "reset.h"
#include "say.h"

#define TRAP_COUNT 32
#define TRAP_PAGE_FAULT 14
#define GATE_INTERRUPT 0x8e00		/* present, ring 0, interrupt gate */
#define STUB_SIZE 16

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t kind;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

extern const char trap_stubs[];
extern const struct purgatory_args purgatory_args;

void trap_fill(struct gate gates[TRAP_COUNT], uint16_t selector);
void trap_report(uint64_t vector, uint64_t address);

void trap_fill(struct gate gates[TRAP_COUNT], uint16_t selector)
{
	for (uint64_t i = 0; i < TRAP_COUNT; i++) {
		uint64_t stub = (uint64_t)trap_stubs + i * STUB_SIZE;

		gates[i].offset_low = stub & 0xffff;
		gates[i].selector = selector;
		gates[i].kind = GATE_INTERRUPT;
		gates[i].offset_middle = stub >> 16 & 0xffff;
		gates[i].offset_high = stub >> 32;
		gates[i].reserved = 0;
	}
}

/* A fault in here, of a screen that is not mapped for instance, is not said: that could go on for ever. */
void trap_report(uint64_t vector, uint64_t address)
{
	static int said;

	if (said++)
		return;
	say("bootshim purgatory: processor exception ");
	say_number(vector);
	if (vector == TRAP_PAGE_FAULT) {
		say(" at ");
		say_address(address);
	}
	say("\nbootshim purgatory: not started, resetting the machine\n");
	reset(&purgatory_args);
}
