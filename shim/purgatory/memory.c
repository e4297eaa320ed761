/* What gcc calls of its own accord, also in freestanding code. Built with -fno-tree-loop-distribute-patterns. */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size)
{
	char *t = to;
	const char *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, size_t size)
{
	char *t = to;

	while (size--)
		*t++ = value;
	return to;
}
