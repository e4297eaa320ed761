/* The questions that the purgatory asks before it lets go of the machine. */
#ifndef SHIM_PURGATORY_CHECK_H
#define SHIM_PURGATORY_CHECK_H

#include "purgatory.h"

/* 1 when the argument block can be used; else says what is wrong with it and returns 0. */
int check_args(const struct purgatory_args *args);

/* 1 when each region has its digest; else names each one that has not and returns 0. */
int check_regions(const struct purgatory_args *args);

/* Check everything and return 1, or say why not and reset the machine. Returns 0 only where a test plays the machine. */
int purgatory_main(const struct purgatory_args *args);

#endif
