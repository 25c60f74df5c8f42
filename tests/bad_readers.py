"""Stand-ins for a file that ends the process that reads it, or never lets it end."""

import os
import time


def die(*_: object, **__: object) -> None:
    os._exit(9)


def hang(*_: object, **__: object) -> None:
    time.sleep(60)
