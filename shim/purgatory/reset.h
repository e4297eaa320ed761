#ifndef SHIM_PURGATORY_RESET_H
#define SHIM_PURGATORY_RESET_H

#include "purgatory.h"

/* Reset the machine, by one way after the other. Returns only where a test plays the machine. */
void reset(const struct purgatory_args *args);

#endif
