/* The ways to reset a PC, the cleanest first. Spec: ACPI 6.5, 4.8.3.6; Intel 500 series PCH data sheet, RST_CNT. */
#include "reset.h"

#include "io.h"
#include "say.h"

#define RESET_CONTROL 0xcf9
#define RESET_CONTROL_HARD 0x02
#define RESET_CONTROL_NOW 0x06

#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_STATUS_BUSY 0x02
#define KEYBOARD_PULSE_RESET 0xfe
#define KEYBOARD_PATIENCE 65536

#define RESET_TAKES_MS 50

static void keyboard_reset(void)
{
	for (uint32_t i = 0; i < KEYBOARD_PATIENCE; i++)
		if (!(port_read(KEYBOARD_COMMAND) & KEYBOARD_STATUS_BUSY))
			break;
	port_write(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
	pause_ms(RESET_TAKES_MS);
}

void reset(const struct purgatory_args *args)
{
	pause_ms(args->pause_ms < PURGATORY_PAUSE_MAX_MS ? args->pause_ms : PURGATORY_PAUSE_MAX_MS);
	if (args->reset_port) {
		port_write(args->reset_port, args->reset_value);
		pause_ms(RESET_TAKES_MS);
	}
	port_write(RESET_CONTROL, RESET_CONTROL_HARD);
	port_write(RESET_CONTROL, RESET_CONTROL_NOW);
	pause_ms(RESET_TAKES_MS);
	keyboard_reset();
	triple_fault();
}
