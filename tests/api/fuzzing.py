"""Requests that Schemathesis draws from the API's document, and what must be true of every answer.

    python -m tests.api.fuzzing --cases 50000 --seed 1    # on a database of its own; prints the number of cases

First come all hostile requests (tests.api.hostile), then as many drawn ones as are left, spread over the operations.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, assume, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import positive_data_acceptance

EXAMPLES = 20  # per operation and mode
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            # rules across fields cannot be said in JSON Schema: valid by the schema may still be refused with 422;
            # signing in with many wrong keys is slowed down with 429; a key may not do what people or operators may
            "positive_data_acceptance": {"expected-statuses": ["2xx", 303, 403, 404, 409, 422, 429]},
        }
    }
)

EXCLUDED = [positive_data_acceptance]  # of drawn requests: limits of a document (digits, depth, bytes) are in no schema


@schemathesis.check
def refusals_are_small_problem_documents(ctx: Any, response: Any, case: Any) -> None:
    """Of any status from 400 on."""
    if response.status_code < 400:
        return
    (media,) = response.headers["content-type"]
    assert media == "application/problem+json"
    assert len(response.content) < 4096
    document = response.json()
    assert document["status"] == response.status_code
    assert [document["instance"]] == response.headers["x-request-id"]


def has_long_number(value: Any) -> bool:
    """Whether a document has a whole number of more than 20 digits."""
    if isinstance(value, dict | list):
        return any(map(has_long_number, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) >= 10**20


class Fuzzer:
    """Sends drawn requests to an app, with a key."""

    def __init__(self, app: FastAPI, key: str) -> None:
        self.headers = {"Authorization": f"Bearer {key}"}
        self.cases = 0
        self.schema: Any = schemathesis.openapi.from_asgi("/v1/openapi.json", app, config=CONFIG)

    def send(self, method: str, path: str, mode: str, examples: int = EXAMPLES, start: int | None = None) -> None:
        """Send requests to an operation: valid ones in mode "positive", invalid ones in mode "negative".

        They are the same in every run, or drawn from `start`.
        """
        operation, generation = self.schema[path][method], GenerationMode(mode)
        if generation is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or list(operation.body)):
            return  # nothing to get wrong

        @given(case=operation.as_strategy(generation_mode=generation))
        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=start is None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def holds(case: Any) -> None:
            assume(not any(value in ([], {}) for value in (case.query or {}).values()))  # sent as nothing: maybe valid
            assume(not has_long_number(case.body))  # which no document may have, and no schema says
            self.cases += 1
            case.call_and_validate(headers=self.headers, excluded_checks=EXCLUDED if start is not None else [])

        (holds if start is None else seed(start)(holds))()

    def close(self) -> None:
        """End the app."""
        shutdown_lifespans()


def main() -> int:
    """Send hostile and drawn requests; return 1 if an answer is wrong."""
    from service.api.app import create_app
    from service.local.postgres import EmbeddedPostgres
    from tests.api.hostile_server import HostileServer, operations
    from tests.fixtures.api import quick
    from tests.harness.databases import create_key, create_template, url_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after this long, and say how far it came")
    asked = parser.parse_args()
    end, wrong, cases = time.monotonic() + 60 * asked.minutes, [], 0
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name) / "pg", conf={"fsync": "off"}) as postgres:
            url = url_of(postgres, create_template(postgres))
            with HostileServer(url) as server:
                for method, path in operations():
                    for request in server.requests(method).of(method, path):
                        cases += 1
                        wrong += [fault] if (fault := server.fault(request)) else []
            print(f"{cases} hostile requests, {len(wrong)} wrong", flush=True)
            fuzzer = Fuzzer(create_app(quick(url)), create_key(url, "default"))
            modes = [(*each, mode) for each in operations() for mode in ("positive", "negative")]
            for round_ in range(1000):
                for method, path, mode in modes:
                    if cases + fuzzer.cases >= asked.cases or time.monotonic() > end:
                        break
                    try:
                        fuzzer.send(method, path, mode, EXAMPLES, 1000 * asked.seed + round_)
                    except (Exception, BaseExceptionGroup) as error:
                        wrong.append(f"{mode} {method} {path}: {error}")
                else:
                    continue
                break
            fuzzer.close()
    print("\n".join(wrong))
    print(f"{cases + fuzzer.cases} cases of {len(operations())} operations, seed {asked.seed}: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
