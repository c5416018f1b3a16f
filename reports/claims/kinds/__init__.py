"""The kinds of claim that ship: importing the package imports every file in it, which makes its kinds known by name."""

from importlib import import_module
from pkgutil import iter_modules

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
