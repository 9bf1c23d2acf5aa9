"""`python -m watchdog`."""

from watchdog.entry import main

if __name__ == "__main__":
    main()
