"""What people see: the menu, the tables of the boot report."""
