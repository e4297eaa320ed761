"""Discover: from sysfs and the disks' own bytes to `Volume`s."""
