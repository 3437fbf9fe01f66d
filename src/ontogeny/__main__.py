"""`python -m ontogeny`, the same as the command `ontogeny`."""

from ontogeny.cli.app import main

if __name__ == "__main__":
    main()
