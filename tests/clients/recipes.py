"""kazoo's recipes against a server: python3 recipes.py HOST:PORT

Prints a line for each recipe that works; the first one that does not ends the program with a traceback.
"""

import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError, NoAuthError, RolledBackError
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.security import make_digest_acl

LIMIT_S = 30
address = sys.argv[1]


def client(**more):
    started = KazooClient(hosts=address, timeout=10.0, **more)
    started.start(timeout=LIMIT_S)
    return started


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def join(*threads):
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "a thread hangs"


def until(holds, what):
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def nodes(a, b):
    path, stat = a.create("/nodes/one", b"first", makepath=True, include_data=True)
    assert path == "/nodes/one" and stat.version == 0 and stat.czxid == stat.mzxid
    assert b.get("/nodes/one")[0] == b"first"
    stat = b.set("/nodes/one", b"second", version=0)
    assert stat.version == 1 and stat.mzxid > stat.czxid
    for wrong, error in [
        (lambda: a.set("/nodes/one", b"", version=0), BadVersionError),
        (lambda: a.create("/nodes/one"), NodeExistsError),
        (lambda: a.get("/nodes/none"), NoNodeError),
    ]:
        try:
            wrong()
        except error:
            continue
        raise AssertionError(f"not refused: {error}")
    names = [a.create("/nodes/s-", sequence=True) for _ in range(3)]
    assert names == [f"/nodes/s-{i:010}" for i in (1, 2, 3)], names
    assert sorted(b.get_children("/nodes")) == ["one"] + [name[len("/nodes/") :] for name in names]
    a.delete("/nodes", recursive=True)
    assert b.exists("/nodes") is None


def transactions(a, b):
    a.create("/tx", b"")
    transaction = a.transaction()
    transaction.create("/tx/a", b"1")
    transaction.check("/tx", version=0)
    transaction.set_data("/tx", b"x")
    transaction.delete("/tx/a")
    results = transaction.commit()
    assert results[0] == "/tx/a" and results[1] is True and results[2].version == 1 and results[3] is True, results
    transaction = a.transaction()
    transaction.create("/tx/b", b"1")
    transaction.check("/tx", version=99)
    transaction.delete("/tx")
    results = transaction.commit()
    assert isinstance(results[0], RolledBackError) and isinstance(results[1], BadVersionError), results
    assert b.exists("/tx/b") is None


def lock(a, b):
    order = []

    def take(who, name):
        with who.Lock("/lock", name):
            order.append(name)
            time.sleep(0.05)
            order.append(name)

    with a.Lock("/lock", "main"):
        waiting = in_thread(take, b, "b")
        until(lambda: len(b.Lock("/lock").contenders()) == 2, "the second contender is seen")
        assert order == []
    other = in_thread(take, a, "a")
    join(waiting, other)
    assert order in (["b", "b", "a", "a"], ["a", "a", "b", "b"]), order


def lock_of_a_dead_session(a, b):
    dying = client()
    dying.Lock("/orphan", "dying").acquire(timeout=LIMIT_S)
    taken = threading.Event()
    waiting = in_thread(lambda: b.Lock("/orphan", "b").acquire(timeout=LIMIT_S) and taken.set())
    until(lambda: len(a.Lock("/orphan").contenders()) == 2, "the heir is seen")
    assert not taken.is_set()
    dying.stop()
    join(waiting)
    assert taken.is_set()


def semaphore(a, b):
    first, second = a.Semaphore("/semaphore", max_leases=2), b.Semaphore("/semaphore", max_leases=2)
    assert first.acquire(timeout=LIMIT_S) and second.acquire(timeout=LIMIT_S)
    third = a.Semaphore("/semaphore", max_leases=2)
    assert not third.acquire(blocking=False)
    second.release()
    assert third.acquire(timeout=LIMIT_S)
    first.release()
    third.release()


def election(a, b):
    led = []

    def lead(name):
        led.append(name)

    threads = [
        in_thread(who.Election("/election", name).run, lead, name) for who, name in ((a, "a"), (b, "b"))
    ]
    join(*threads)
    assert sorted(led) == ["a", "b"], led


def barrier(a, b):
    gate = Barrier(a, "/barrier")
    gate.create()
    waiting = in_thread(Barrier(b, "/barrier").wait, LIMIT_S)
    assert waiting.is_alive()
    gate.remove()
    join(waiting)


def double_barrier(a, b):
    seen = []

    def cross(who):
        gate = DoubleBarrier(who, "/double", 2)
        gate.enter()
        seen.append(gate.participating)
        gate.leave()

    join(in_thread(cross, a), in_thread(cross, b))
    assert seen == [True, True], seen


def queues(a, b):
    queue = a.Queue("/queue")
    for value in (b"one", b"two"):
        queue.put(value)
    queue.put(b"first", priority=1)
    assert [b.Queue("/queue").get() for _ in range(4)] == [b"first", b"one", b"two", None]
    locking = a.LockingQueue("/locking")
    locking.put_all([b"x", b"y"])
    other = b.LockingQueue("/locking")
    assert other.get(timeout=LIMIT_S) == b"x"
    assert locking.get(timeout=LIMIT_S) == b"y"
    assert other.consume() and locking.consume() and len(locking) == 0


def counter(a, b):
    one, two = a.Counter("/counter"), b.Counter("/counter")
    threads = [in_thread(lambda c: [c.__add__(1) for _ in range(20)], c) for c in (one, two)]
    join(*threads)
    assert one.value == 40, one.value


def party(a, b):
    one, two = a.Party("/party", "one"), b.Party("/party", "two")
    one.join()
    two.join()
    assert sorted(one) == ["one", "two"], list(one)
    two.leave()
    assert list(one) == ["one"]
    one.leave()


def watchers(a, b):
    values, children = [], []
    a.create("/watched", b"0")
    a.DataWatch("/watched", lambda data, stat: values.append(data))
    a.ChildrenWatch("/watched", lambda names: children.append(sorted(names)))
    b.set("/watched", b"1")
    until(lambda: values[-1] == b"1", values)
    b.create("/watched/x")
    until(lambda: children[-1] == ["x"], children)
    b.delete("/watched/x")
    until(lambda: children[-1] == [], children)
    b.delete("/watched")
    until(lambda: values[-1] is None, values)
    assert values == [b"0", b"1", None], values


def tree_cache(a, b):
    from kazoo.recipe.cache import TreeCache

    cache = TreeCache(a, "/cached")
    b.create("/cached/x", b"1", makepath=True)
    cache.start()
    until(lambda: (node := cache.get_data("/cached/x")) and node.data == b"1", "the cache fills")
    b.set("/cached/x", b"2")
    until(lambda: cache.get_data("/cached/x").data == b"2", "the cache follows")
    cache.close()


def acls(a, b):
    a.add_auth("digest", "user:secret")
    a.create("/mine", b"1", acl=[make_digest_acl("user", "secret", all=True)])
    assert a.get("/mine")[0] == b"1"
    try:
        b.get("/mine")
    except NoAuthError:
        pass
    else:
        raise AssertionError("the znode is read without its password")
    b.add_auth("digest", "user:secret")
    assert b.get("/mine")[0] == b"1"


def ephemerals(a, b):
    owner = client()
    owner.create("/ephemeral", ephemeral=True)
    gone = threading.Event()
    assert b.exists("/ephemeral", watch=lambda event: gone.set()).owner_session_id == owner.client_id[0]
    owner.stop()
    assert gone.wait(LIMIT_S) and b.exists("/ephemeral") is None


def commands(a, b):
    assert a.command(b"ruok") == "imok"
    assert a.server_version() >= (3, 9)


RECIPES = [
    nodes, transactions, lock, lock_of_a_dead_session, semaphore, election, barrier, double_barrier, queues,
    counter, party, watchers, tree_cache, acls, ephemerals, commands,
]

a, b = client(), client()
for recipe in RECIPES:
    recipe(a, b)
    print("ok", recipe.__name__, flush=True)
for each in (a, b):
    each.stop()
    each.close()
print("all", len(RECIPES))
