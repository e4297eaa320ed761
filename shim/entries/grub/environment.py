"""GRUB's variables: nested contexts of which only what is exported gets into the next, and where each was set."""

from __future__ import annotations

from shim.entries.grub.limits import VARIABLES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.entries.grub.limits import Budget

    Where = tuple[str, int]  # a path with its volume, and a line

BUILT_IN: Where = ("GRUB", 0)
EXPORTED = ("root", "prefix", "cmdpath", "config_file", "config_directory", "grub_cpu", "grub_platform", "chosen",
            "color_normal", "color_highlight", "lang", "locale_dir", "pager", "theme", "gfxmode")
# What scripts ask for before they use something newer. Spec: grub-core/normal/main.c's list, as `set` prints it.
FEATURES = ("200_final", "all_video_module", "chainloader_bpb", "default_font_path", "menuentry_id",
            "menuentry_options", "nativedisk_cmd", "ntldr", "platform_search_hint", "timeout_style")


class Environment:
    """Variables. A body of the menu runs in an overlay: what it sets is gone after it."""

    __slots__ = ("_budget", "_exported", "_parent", "_values")

    def __init__(self, budget: Budget, parent: Environment | None = None) -> None:
        self._budget, self._parent = budget, parent
        self._values: dict[str, tuple[str | None, Where]] = {}
        self._exported: set[str] = set()

    def get(self, name: str) -> str | None:
        """Return a variable's value; None when it is not set."""
        return self._find(name)[0]

    def place(self, name: str) -> Where | None:
        """Return where a variable was set last; None when it is not set, or set by GRUB itself."""
        value, where = self._find(name)
        return None if value is None or where is BUILT_IN else where

    def _find(self, name: str) -> tuple[str | None, Where]:
        level: Environment | None = self
        while level is not None:
            found = level._values.get(name)
            if found is not None:
                return found
            level = level._parent
        return None, BUILT_IN

    def set(self, name: str, value: str, where: Where) -> None:
        """Set a variable; `root` loses the parentheses of a device, as in GRUB."""
        if name == "root" and value[:1] == "(" and value[-1:] == ")":
            value = value[1:-1]
        self._budget.value(len(value) + len(name))
        self._values[name] = (value, where)
        if len(self._values) > VARIABLES_MAX:
            raise self._budget.refusal("the script sets too many variables", limit=VARIABLES_MAX)

    def unset(self, name: str) -> None:
        self._values[name] = (None, BUILT_IN)
        if len(self._values) > VARIABLES_MAX:
            raise self._budget.refusal("the script sets too many variables", limit=VARIABLES_MAX)

    def export(self, name: str, where: Where) -> None:
        """Let a variable into the contexts that are opened from here."""
        if self.get(name) is None:
            self.set(name, "", where)
        self._budget.spend()
        self._exported.add(name)

    def exported(self) -> Iterator[str]:
        """Yield the names that go into the next context."""
        level: Environment | None = self
        while level is not None:
            yield from level._exported
            level = level._parent

    def overlay(self) -> Environment:
        """Return variables that begin as these are."""
        return Environment(self._budget, self)

    def context(self) -> Environment:
        """Return a context that has what is exported here."""
        fresh = Environment(self._budget)
        for name in set(self.exported()):
            value, where = self._find(name)
            self._budget.spend()
            if value is not None:
                fresh.set(name, value, where)
                fresh._exported.add(name)
        return fresh


def first_environment(budget: Budget, cpu: str) -> Environment:
    """Return the variables that GRUB itself sets before it reads a configuration."""
    environment = Environment(budget)
    environment.set("grub_cpu", cpu, BUILT_IN)
    environment.set("grub_platform", "efi", BUILT_IN)
    environment.set("pager", "", BUILT_IN)
    for feature in FEATURES:
        environment.set(f"feature_{feature}", "y", BUILT_IN)
        environment.export(f"feature_{feature}", BUILT_IN)
    for name in EXPORTED:
        environment._exported.add(name)
    return environment
