"""The command line: parse, call, print."""

from ontogeny.cli.app import main as main
