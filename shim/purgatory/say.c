/* Spec: PC16550D data sheet, 8.0 (registers); VGA text memory, 80 by 25 cells of character and attribute. */
#include "say.h"

#include "io.h"

#define UART_DATA 0
#define UART_INTERRUPTS 1
#define UART_FIFO 2
#define UART_LINE 3
#define UART_MODEM 4
#define UART_STATUS 5
#define UART_STATUS_EMPTY 0x20		/* the transmitter takes another byte */
#define UART_LINE_8N1 0x03
#define UART_LINE_DIVISOR 0x80		/* registers 0 and 1 are the divisor */
#define UART_MODEM_DTR_RTS 0x03
#define UART_FIFO_ON 0x07

/* One byte at 1200 baud takes 8.3 ms; a read of the status takes about a microsecond. */
#define UART_PATIENCE 65536

#define VGA_COLUMNS 80
#define VGA_ROWS 25
#define VGA_WHITE_ON_RED 0x4f00

#define DELAY_PORT 0x80

static uint16_t serial_port;
static uint32_t vga_on, vga_row, vga_column;

void say_init(const struct purgatory_args *args)
{
	serial_port = args->serial_port;
	vga_on = args->flags & PURGATORY_VGA;
	vga_row = 0;
	vga_column = 0;
	if (!serial_port || !args->serial_divisor)
		return;
	port_write(serial_port + UART_INTERRUPTS, 0);
	port_write(serial_port + UART_LINE, UART_LINE_DIVISOR);
	port_write(serial_port + UART_DATA, args->serial_divisor & 0xff);
	port_write(serial_port + UART_INTERRUPTS, args->serial_divisor >> 8);
	port_write(serial_port + UART_LINE, UART_LINE_8N1);
	port_write(serial_port + UART_FIFO, UART_FIFO_ON);
	port_write(serial_port + UART_MODEM, UART_MODEM_DTR_RTS);
}

/* A port that does not become ready once is given up for good: a dead one costs one wait, not one for each byte. */
static void serial_put(char c)
{
	for (uint32_t i = 0; serial_port && i < UART_PATIENCE; i++) {
		if (port_read(serial_port + UART_STATUS) & UART_STATUS_EMPTY) {
			port_write(serial_port + UART_DATA, c);
			return;
		}
	}
	serial_port = 0;
}

static void vga_put(char c)
{
	if (!vga_on || vga_row >= VGA_ROWS)
		return;
	if (c != '\n')
		vga_screen()[vga_row * VGA_COLUMNS + vga_column++] = VGA_WHITE_ON_RED | (uint8_t)c;
	if (c == '\n' || vga_column == VGA_COLUMNS) {
		vga_row++;
		vga_column = 0;
	}
}

static void put(char c)
{
	if (c == '\n')
		serial_put('\r');
	serial_put(c);
	vga_put(c);
}

void say(const char *text)
{
	while (*text)
		put(*text++);
}

void say_name(const char *name, size_t limit)
{
	for (size_t i = 0; i < limit && name[i]; i++)
		put(name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
}

static void put_digit(unsigned value)
{
	put(value < 10 ? '0' + value : 'a' + value - 10);
}

void say_number(uint64_t value)
{
	if (value >= 10)
		say_number(value / 10);
	put_digit(value % 10);
}

void say_address(uint64_t value)
{
	int digits = 1;

	while (digits < 16 && value >> 4 * digits)
		digits++;
	say("0x");
	while (digits--)
		put_digit(value >> 4 * digits & 0xf);
}

void say_bytes(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		put_digit(bytes[i] >> 4);
		put_digit(bytes[i] & 0xf);
	}
}

void pause_ms(uint32_t ms)
{
	for (uint64_t i = 0; i < (uint64_t)ms * 1000; i++)
		port_write(DELAY_PORT, 0);
}
