"""People who change their minds, ask twice, and post while things break."""

import signal
import threading
import time

from tests.faults.fault import Fault, Missed, Scene, kind


def _some(scene: Scene, fault: Fault) -> str:
    run = scene.people.some_run(fault.rng)
    if run is None:
        raise Missed("no run is left")
    return run


def _wish(scene: Scene, run: str, action: str) -> None:
    """Ask until it is answered; 409 is an answer too."""
    for _ in range(20):
        if scene.people.wish(run, action):
            return
        time.sleep(0.1)
    raise Missed("no API answered")


@kind("none")
def run_cancelled(scene: Scene, fault: Fault) -> None:
    """Cancel whatever it is doing."""
    _wish(scene, _some(scene, fault), "cancel")


@kind("none")
def run_cancelled_twice(scene: Scene, fault: Fault) -> None:
    """Cancel, and cancel again, at the same moment."""
    run = _some(scene, fault)
    threads = [threading.Thread(target=scene.people.wish, args=(run, "cancel")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _needs(scene: Scene, action: str) -> None:
    if not scene.people.can(action):
        raise Missed(f"the API has no {action}")


@kind("none")
def run_paused(scene: Scene, fault: Fault) -> None:
    """Pause, and resume a while later."""
    _needs(scene, "pause")
    run = _some(scene, fault)
    _wish(scene, run, "pause")
    scene.sleep(0.3, 2.5, fault)
    _wish(scene, run, "resume")


@kind("none")
def run_paused_and_resumed(scene: Scene, fault: Fault) -> None:
    """Pause and resume before anybody can have obeyed."""
    _needs(scene, "pause")
    run = _some(scene, fault)
    for action in ("pause", "resume") * fault.rng.randrange(1, 4):
        _wish(scene, run, action)


@kind("none")
def run_paused_and_cancelled(scene: Scene, fault: Fault) -> None:
    """Pause, then cancel."""
    _needs(scene, "pause")
    run = _some(scene, fault)
    _wish(scene, run, "pause")
    scene.sleep(0.0, 0.5, fault)
    _wish(scene, run, "cancel")


def _variant(scene: Scene, fault: Fault) -> str:
    return fault.rng.choice(sorted(scene.people.specs))


@kind("api")
def post_api_killed(scene: Scene, fault: Fault) -> None:
    """An API process is killed some milliseconds into a POST, which is then sent again with its key."""
    api, people = scene.target(fault), scene.people
    at = scene.stack.apis.index(api)
    thread = threading.Thread(target=people.post, args=(_variant(scene, fault), at), daemon=True)
    thread.start()
    time.sleep(fault.rng.uniform(0.0, 0.05))
    api.signal(signal.SIGKILL)
    thread.join(60)


@kind("api")
def post_unanswered(scene: Scene, fault: Fault) -> None:
    """The COMMIT of a POST is done and its answer lost; the client asks again with its key."""
    api = scene.target(fault)
    api.gate.lose = "post"
    try:
        scene.people.post(_variant(scene, fault), scene.stack.apis.index(api))
        if api.gate.lose is not None:
            raise Missed("another process took it")
    finally:
        api.gate.lose = None


@kind("none")
def post_doubled(scene: Scene, fault: Fault) -> None:
    """The same POST with the same key reaches both API processes at once."""
    people, variant = scene.people, _variant(scene, fault)
    name = f"faults-{people.seed}-twice-{fault.number}"
    people.posted.add(name)
    document = people.specs[variant] | {"name": name}

    def ask(at: int) -> None:
        answer = people.ask("POST", "/v1/experiments", document, at, **{"Idempotency-Key": name})
        if answer is not None and answer.status_code == 201:
            people.promised(answer.json(), variant)

    threads = [threading.Thread(target=ask, args=(at,)) for at in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _offspring(scene: Scene, fault: Fault, states: tuple[str, ...], action: str, order: dict[str, object]) -> None:
    """A run made of a run, asked for until it is answered, and twice with the same key."""
    _needs(scene, action)
    parents = sorted(run for run, state in scene.people.states().items() if state in states)
    if not parents:
        raise Missed(f"no run is {' or '.join(states)}")
    made = scene.people.make(fault.rng.choice(parents), action, order, f"{action}-{fault.number}")
    if made is None:
        raise Missed("the API says that this run has none")


@kind("none")
def run_retried(scene: Scene, fault: Fault) -> None:
    """A cancelled run is tried again, from its checkpoint where it has one."""
    _offspring(scene, fault, ("cancelled",), "retry", {})


@kind("none")
def run_forked(scene: Scene, fault: Fault) -> None:
    """A fork without changes: it must go on as its parent does, bit for bit."""
    _offspring(scene, fault, ("running", "paused", "succeeded", "cancelled"), "forks", {})


@kind("none")
def run_replayed(scene: Scene, fault: Fault) -> None:
    """The first steps of a run once more."""
    _offspring(scene, fault, ("succeeded",), "replay", {"steps": fault.rng.randrange(50, 400)})


@kind("worker")
def run_preempted(scene: Scene, fault: Fault) -> None:
    """A run is told to make way, as for one that has waited too long."""
    scene.training(fault)
    assert fault.held is not None
    told = "UPDATE run SET yields_to = 'another' WHERE id = %s AND attempt = %s AND state = 'running' RETURNING id"
    if scene.one(told, *fault.held) is None:
        raise Missed("it has just ended")
    ended = "SELECT ending FROM attempt WHERE run_id = %s AND attempt = %s AND ended_at IS NOT NULL"
    end = time.monotonic() + 5
    while (row := scene.one(ended, *fault.held)) is None and time.monotonic() < end:
        time.sleep(0.05)
    if row != ("preempted",):
        raise Missed(f"it ended otherwise: {row}")
