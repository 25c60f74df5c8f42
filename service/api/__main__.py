"""`python -m service.api`: serve the API.  `python -m service.api openapi`: print its OpenAPI document."""

import argparse
import gc
import json
import os
import sys
from contextlib import suppress

from service.errors import SaddleError, Unavailable
from service.settings import settings


def main() -> int:
    """Serve until stopped; print the error and return 1 if the server cannot start."""
    parser = argparse.ArgumentParser(prog="python -m service.api", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["serve", "openapi"], default="serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    # small matrices in many threads: OpenBLAS' own would wait for cores that others use, 200 ms for one of 96 x 96
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # imports make little garbage, and collecting it takes an eighth of the start-up
    try:
        from service.api.app import openapi_document  # noqa: PLC0415  raises if a plug-in is broken
        from service.api.server import listen, serve  # noqa: PLC0415
        from service.db.session import check_schema, make_engine  # noqa: PLC0415

        gc.enable()
        if arguments.what == "openapi":
            print(json.dumps(openapi_document(), indent=2))
            return 0
        with suppress(Unavailable):  # the server waits until the database is up
            check_schema(make_engine(settings().database_url, pool_size=1))
        listener = listen(arguments.host, arguments.port)
    except (SaddleError, OSError) as error:
        print(f"saddle: {error}", file=sys.stderr)
        return 1
    return serve(listener, arguments.workers)


if __name__ == "__main__":
    sys.exit(main())
