"""GRUB's error numbers, as $? shows them. Spec: include/grub/err.h of GRUB 2.06."""

from __future__ import annotations

OK, FAILED, MISSING, NO_DEVICE, WRONG, BAD_ARGUMENT, NO_KERNEL, NO_MENU = 0, 1, 5, 12, 17, 18, 22, 27
