"""The command line: parse arguments, call the library, print."""

from ontogeny.cli.app import main as main
