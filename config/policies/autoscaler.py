#!/usr/bin/env python3
# ClearML's AutoScaler with its own `queues` and a rule of one's own, as a subclass of it would have: see assets/POLICIES.md.
import json
import sys

QUEUES = {"train": [("spot", 3), ("gpu", 2)]}  # as in aws_autoscaler.yaml: the queue's resources in order, and how many of each
DEAR = 0.8  # from this part of any budget on the first resource only


def rule(name, world):
    queue, pools = world["queues"][name], world["pools"]
    spent = max([(b["spent"] + b["committed"]) / b["limit"] if b["limit"] else 1 for b in world["budgets"]], default=0)
    resources = QUEUES.get(name, [])[: 1 if spent >= DEAR else None]
    up = {pool: sum(pools[pool][state] for state in ("idle", "busy", "starting")) for pool, _ in resources}
    tasks, most = queue["waiting"] + len(queue["running"]), sum(most for _, most in resources)
    room = [pool for pool, most in resources if up[pool] < most]
    said = f"{min(tasks, most)} of {tasks} tasks in {[pool for pool, _ in resources]}, {spent:.0%} of the budget"
    return {"capacity": min(tasks, most), "pools": room, "reason": said} if room else {"veto": True, "reason": said}


for line in sys.stdin:
    asked = json.loads(line)
    answers = {name: rule(name, asked["world"]) for name in asked["queues"]}
    print(json.dumps({"id": asked["id"], "answers": answers}), flush=True)
