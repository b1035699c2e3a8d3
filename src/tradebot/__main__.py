"""`python -m tradebot`. Workers import this module too, so it stays empty for them."""

if __name__ == "__main__":
    from tradebot.cli import main

    main()
