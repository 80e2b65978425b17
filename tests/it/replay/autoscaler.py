"""ClearML's own AutoScaler, its code unchanged, under a virtual clock and on a simulated cloud; times in milliseconds.

Reads one JSON object from the file that is named, prints another: what the machines cost and how long the jobs waited.
"""

import heapq
import json
import sys
from collections import deque
from datetime import datetime, timezone
from threading import Event
from types import SimpleNamespace

from clearml.automation import auto_scaler
from clearml.debugging import get_logger

CALL, LAUNCH, WAITER, AFTER_WAITER = 150, 1_500, 15_000, 500
POLL, SETTLE, REPORT, LEAST = 5_000, 1_000, 30_000, 60_000
PREFIX = "peer"


class Over(BaseException):
    pass


class Machine:
    def __init__(self, number, queue, now, pending, starting):
        self.number, self.queue = number, queue
        self.runs = now + LAUNCH + pending
        self.registers = self.runs + starting
        self.idle_since, self.job, self.ended, self.pending = None, None, None, pending

    def next_look(self, now):
        first = self.idle_since + SETTLE
        return first if now <= first else first + -(-(now - first) // POLL) * POLL


class World:
    def __init__(self, given):
        self.jobs, self.queues, self.lingers = given["jobs"], given["queues"], given["lingers"]
        self.now, self.events, self.made, self.left = 0, [], 0, len(self.jobs)
        self.waiting = [deque() for _ in self.queues]
        self.booted = [0] * len(self.queues)
        self.machines, self.cost, self.waited = [], 0, []
        for job, (submitted, _, _) in enumerate(self.jobs):
            self.at(submitted, "arrives", job)

    def at(self, when, what, which):
        self.made += 1
        heapq.heappush(self.events, (when, self.made, what, which))

    def advance(self, until):
        while self.events and self.events[0][0] <= until:
            self.now, _, what, which = heapq.heappop(self.events)
            getattr(self, what)(which)
        self.now = max(self.now, until)
        if self.left == 0 and all(machine.ended is not None for machine in self.machines):
            raise Over

    def arrives(self, job):
        queue = self.jobs[job][2]
        self.waiting[queue].append(job)
        self.take(queue)

    def registers(self, machine):
        if machine.ended is None:
            machine.idle_since = self.now
            self.take(machine.queue)

    def finishes(self, machine):
        if machine.ended is None:
            self.left -= 1
            machine.job, machine.idle_since = None, self.now
            self.take(machine.queue)

    def take(self, queue):
        while self.waiting[queue]:
            idle = [one for one in self.machines if one.queue == queue and one.idle_since is not None]
            if not idle:
                return
            machine = min(idle, key=lambda one: one.next_look(self.now))
            look = machine.next_look(self.now)
            if look > self.now:
                return self.at(look, "take", queue)
            job = self.waiting[queue].popleft()
            machine.job, machine.idle_since = job, None
            self.waited.append(self.now - self.jobs[job][0])
            self.at(self.now + self.jobs[job][1], "finishes", machine)

    def launch(self, queue):
        pending, starting = self.queues[queue]["boots"][self.booted[queue]]
        self.booted[queue] += 1
        machine = Machine(len(self.machines), queue, self.now, pending, starting)
        self.machines.append(machine)
        self.at(machine.registers, "registers", machine)
        return machine

    def end(self, machine):
        if machine.ended is not None:
            return  # a worker that is listed though its machine is gone
        assert machine.job is None, "a busy machine is ended"
        machine.ended, machine.idle_since = self.now, None
        if self.now > machine.runs:
            billed = max(self.now, machine.runs + LEAST) - machine.runs
            self.cost += self.queues[machine.queue]["rate"] * billed // 3_600_000


def moment(millis):
    return datetime.fromtimestamp(millis / 1_000, timezone.utc)


class Api:
    """The calls of the API that the AutoScaler makes, each of which takes its time."""

    def __init__(self, world):
        self.world = world
        self.queues = SimpleNamespace(get_all=self.all_queues, get_by_id=self.queue)
        self.workers = SimpleNamespace(get_all=self.all_workers)

    def call(self):
        self.world.advance(self.world.now + CALL)

    def all_queues(self, **_):
        self.call()
        return [SimpleNamespace(id=str(place), name=queue["name"]) for place, queue in enumerate(self.world.queues)]

    def queue(self, queue):
        self.call()
        return SimpleNamespace(entries=list(self.world.waiting[int(queue)]))

    def all_workers(self):
        self.call()
        return [self.row(machine) for machine in self.world.machines if self.is_listed(machine)]

    def is_listed(self, machine):
        now, ended = self.world.now, machine.ended
        return machine.registers <= now and (ended is None or machine.registers < ended and now < ended + self.world.lingers)

    def row(self, machine):
        until = min(machine.ended or self.world.now, self.world.now)
        reported = machine.registers + max(until - machine.registers, 0) // REPORT * REPORT
        task = None if machine.job is None else SimpleNamespace(id=str(machine.job))
        return SimpleNamespace(
            id=name(machine), task=task, register_time=None, last_activity_time=None, last_report_time=moment(reported)
        )


def name(machine):
    return f"{PREFIX}:r{machine.queue}:type:{machine.number}"


class Driver:
    def __init__(self, world):
        self.world = world

    def spin_up_worker(self, resource, worker_prefix, queue_name, task_id):
        machine = self.world.launch(resource["queue"])
        waited = -(-machine.pending // WAITER) * WAITER
        self.world.advance(self.world.now + LAUNCH + waited + AFTER_WAITER)
        return str(machine.number)

    def spin_down_worker(self, number):
        self.world.end(self.world.machines[int(number)])


class Scaler(auto_scaler.AutoScaler):
    """Only what reaches for a real server is left out."""

    def __init__(self, world, poll, idle):
        self.logger = get_logger("auto_scaler")
        self.logger.setLevel("CRITICAL")
        self.driver, self.api_client, self._stop_event = Driver(world), Api(world), Event()
        self.queues = {queue["name"]: [(f"r{place}", queue["cap"])] for place, queue in enumerate(world.queues)}
        self.resource_to_queue = {f"r{place}": queue["name"] for place, queue in enumerate(world.queues)}
        self.resource_configurations = {
            f"r{place}": {"instance_type": "type", "queue": place} for place in range(len(world.queues))
        }
        self.max_idle_time_min, self.polling_interval_time_min, self.max_spin_up_time_min = idle, poll, 30.0
        self.workers_prefix = PREFIX

    def monitor_startup(self, instance_id):
        pass


def main():
    with open(sys.argv[1]) as file:
        given = json.load(file)
    world = World(given)
    auto_scaler.time = lambda: world.now / 1_000
    auto_scaler.sleep = lambda seconds: world.advance(world.now + round(seconds * 1_000))
    auto_scaler.get_task_logger = lambda: None
    scaler = Scaler(world, given["poll"] / 60_000, given["idle"] / 60_000)
    scaler.ensure_queues = lambda: None
    try:
        world.advance(given["first_look"])
        scaler.supervisor()
    except Over:
        pass
    waits = world.waited
    print(json.dumps({"total": world.cost / 1e6, "wait": sum(waits) / len(waits) / 1_000, "launches": len(world.machines)}))


main()
