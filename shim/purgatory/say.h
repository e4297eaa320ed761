/* Text on the serial port and, where it is a text screen, on the VGA. Every wait ends. */
#ifndef SHIM_PURGATORY_SAY_H
#define SHIM_PURGATORY_SAY_H

#include <stddef.h>
#include <stdint.h>

#include "purgatory.h"

void say_init(const struct purgatory_args *args);
void say(const char *text);

/* Up to `limit` bytes of text that may not be text: what is not printable ASCII becomes a question mark. */
void say_name(const char *name, size_t limit);

void say_number(uint64_t value);
void say_address(uint64_t value);
void say_bytes(const uint8_t *bytes, size_t size);

/* Wait for about that many milliseconds: an access to port 0x80 takes about a microsecond on the ISA bus. */
void pause_ms(uint32_t ms);

#endif
