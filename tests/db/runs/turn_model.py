"""The order of turns as it should be, small enough to be obvious, and equal division, which it is compared with."""

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from service.turn_policy import TurnPolicy

AGEING = 0.5
Person = tuple[str, str]  # a project, and one of its people
LONG_AGO = float("-inf")


@dataclass(frozen=True)
class Job:
    """A run that arrives at a time and takes some seconds of one device."""

    number: int
    at: float
    seconds: float
    person: Person


def random_jobs(seed: int, workers: int, count: int = 1000, mean_s: float = 180.0) -> list[Job]:
    """Bursts of runs of up to five projects of three people, some of which ask for more; workers busy nine tenths."""
    rng, found, at = random.Random(seed), list[Job](), 0.0
    while len(found) < count:
        burst = rng.choice([1, 1, 1, 3, 5, 10, 20])
        at += rng.expovariate(0.9 * workers / mean_s * 7 / 41)
        person = f"p{min(rng.randrange(5), rng.randrange(5))}", f"m{rng.randrange(3)}"
        for _ in range(burst):
            found.append(Job(len(found), at, min(rng.expovariate(1 / mean_s), 5 * mean_s) + 1, person))
    return found[:count]


class Turns:
    """Recent use, and whose turn it is."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.use: dict[Person, tuple[float, float]] = {}  # of ended runs: seconds, and when that was
        self.running: dict[int, tuple[Person, float]] = {}  # since when
        self.waiting: dict[Person, deque[Job]] = defaultdict(deque)

    def spent(self, seconds: float) -> float:
        """Use of one device for that long, decayed while it goes on."""
        return self.policy.half_life_s / log(2) * (1 - 2 ** (-seconds / self.policy.half_life_s))

    def next(self, now: float) -> Job | None:
        """The first run of the person with the least use, in the project with the least; waiting makes up for use."""
        use, served = defaultdict[object, float](float), dict[object, float]()
        for person, (seconds, at) in self.use.items():
            for who in (person, person[0]):
                use[who] += seconds * 2 ** ((at - now) / self.policy.half_life_s)
                served[who] = max(at, served.get(who, LONG_AGO))
        for person, since in self.running.values():
            for who in (person, person[0]):
                use[who] += self.spent(max(now - since, self.policy.turn_s))
                served[who] = now
        heads = [(person, jobs[0]) for person, jobs in self.waiting.items() if jobs]
        first = defaultdict[str, float](lambda: float("inf"))
        for (project, _), job in heads:
            first[project] = min(first[project], job.at)

        def score(who: object, since: float) -> float:
            return use[who] - AGEING * (now - max(since, served.get(who, LONG_AGO)))

        ranked = [(score(p[0], first[p[0]]), p[0], score(p, job.at), job.at, job.number, p) for p, job in heads]
        return self.waiting[min(ranked)[-1]][0] if ranked else None

    def start(self, job: Job, now: float) -> None:
        assert self.waiting[job.person].popleft() is job
        self.running[job.number] = job.person, now

    def end(self, job: Job, now: float) -> None:
        person, since = self.running.pop(job.number)
        seconds, at = self.use.get(person, (0.0, now))
        decayed = seconds * 2 ** ((at - now) / self.policy.half_life_s)
        self.use[person] = decayed + self.spent(now - since), now


class Queue:
    """What a simulation asks of a queue; the model is one, Postgres another."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.turns = Turns(policy)

    def pass_time(self, now: float) -> None:
        self.now = now

    def add(self, job: Job) -> None:
        self.turns.waiting[job.person].append(job)

    def claim(self) -> Job | None:
        job = self.turns.next(self.now)
        if job is not None:
            self.turns.start(job, self.now)
        return job

    def end(self, job: Job) -> None:
        self.turns.end(job, self.now)


def simulate(jobs: Sequence[Job], workers: int, queue: Queue) -> dict[int, float]:
    """When each run ends, if every free worker claims at once."""
    arriving, busy, ended = deque(sorted(jobs, key=lambda job: job.at)), list[tuple[float, int]](), dict[int, float]()
    by_number = {job.number: job for job in jobs}
    while arriving or busy:
        now = min([job.at for job in list(arriving)[:1]] + [end for end, _ in busy[:1]])
        queue.pass_time(now)
        while busy and busy[0][0] <= now:
            end, number = heapq.heappop(busy)
            queue.end(by_number[number])
            ended[number] = end
        while arriving and arriving[0].at <= now:
            queue.add(arriving.popleft())
        while len(busy) < workers and (job := queue.claim()) is not None:
            heapq.heappush(busy, (now + job.seconds, job.number))
    return ended


def divide_equally(jobs: Sequence[Job], workers: int) -> dict[int, float]:
    """When each run ends if the workers are divided, at each moment, between projects and then between people."""
    arriving, left = deque(sorted(jobs, key=lambda job: job.at)), {job.number: job.seconds for job in jobs}
    open_jobs: dict[Person, list[Job]] = defaultdict(list)
    now, ended = 0.0, dict[int, float]()
    while arriving or any(open_jobs.values()):
        rates = _rates(open_jobs, workers)
        passed = min(
            [left[number] / rate for number, rate in rates.items()] + [each.at - now for each in _head(arriving)]
        )
        now += passed
        for number, rate in rates.items():
            left[number] -= rate * passed
        for person, mine in open_jobs.items():
            for job in [job for job in mine if left[job.number] <= 1e-9]:
                ended[job.number] = now
                mine.remove(job)
            open_jobs[person] = mine
        while arriving and arriving[0].at <= now + 1e-9:
            job = arriving.popleft()
            open_jobs[job.person].append(job)
    return ended


def _head(jobs: deque[Job]) -> list[Job]:
    return [jobs[0]] if jobs else []


def _rates(open_jobs: Mapping[Person, list[Job]], workers: int) -> dict[int, float]:
    """Devices for each run, at most one."""
    people: dict[str, dict[str, int]] = defaultdict(dict)
    for (project, person), jobs in open_jobs.items():
        if jobs:
            people[project][person] = len(jobs)
    rates: dict[int, float] = {}
    of_projects = _divide(workers, {project: sum(each.values()) for project, each in people.items()})
    for project, each in people.items():
        for person, share in _divide(of_projects[project], each).items():
            for job in open_jobs[project, person]:
                if share > 1e-12:
                    rates[job.number] = min(1.0, share)
                    share -= rates[job.number]
    return rates


def _divide(total: float, limits: Mapping[str, float]) -> dict[str, float]:
    """Equal parts; what somebody cannot use is divided between the others."""
    parts, left = dict[str, float](), dict(limits)
    while left:
        part = total / len(left)
        small = [name for name, limit in left.items() if limit <= part]
        if not small:
            return parts | dict.fromkeys(left, part)
        for name in small:
            parts[name] = left.pop(name)
            total -= parts[name]
    return parts


def longest(jobs: Sequence[Job], ended: Mapping[int, float]) -> dict[Person, float]:
    """The longest that each person waited for a result, in seconds."""
    found = defaultdict[Person, float](float)
    for job in jobs:
        found[job.person] = max(found[job.person], ended[job.number] - job.at)
    return found


def worst_ratio(jobs: Sequence[Job], workers: int, queue: Callable[[], Queue]) -> float:
    """The longest wait of anybody, less one run's time, as a multiple of what it is with equal division."""
    run_s = max(job.seconds for job in jobs)
    mine, fair = longest(jobs, simulate(jobs, workers, queue())), longest(jobs, divide_equally(jobs, workers))
    return max((mine[person] - run_s) / fair[person] for person in mine)
