/* What the purgatory asks of the machine. A test on the host defines PURGATORY_HOSTED and plays the machine. */
#ifndef SHIM_PURGATORY_IO_H
#define SHIM_PURGATORY_IO_H

#include <stdint.h>

#if defined(PURGATORY_HOSTED)

uint8_t port_read(uint16_t port);
void port_write(uint16_t port, uint8_t value);
volatile uint16_t *vga_screen(void);

#else

static inline uint8_t port_read(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void port_write(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline volatile uint16_t *vga_screen(void)
{
	return (volatile uint16_t *)0xb8000;
}

#endif

/* Shut the CPU down by a fault that cannot be delivered: the chipset answers with a reset. In entry.S. */
void triple_fault(void);

#endif
