"""Tasks on threads: in order, bounded, and nothing left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from lancelet import threads
from lancelet.errors import OptionError
from lancelet.threads import OrderedTasks, num_threads

pytestmark = pytest.mark.timeout(30)


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(threads._NAME)]


@pytest.fixture(params=["1", "2", "5"])
def count(request, monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", request.param)
    return int(request.param)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    assert workers() == []
    yield
    assert workers() == []
    assert threads._pool.users == set()


def after(seconds: float, value: object):
    def task():
        time.sleep(seconds)
        return value

    return task


def failing(message: str, seconds: float = 0.0):
    def task():
        time.sleep(seconds)
        raise ValueError(message)

    return task


def test_results_come_in_order(count):
    with OrderedTasks() as tasks:
        for number in range(20):
            tasks.put(after(0.003 * (20 - number) / 20, number))
        assert len(tasks) == 20
        assert [tasks.take() for _ in range(5)] == [0, 1, 2, 3, 4]
        tasks.put(after(0, 20))
        assert list(tasks.drain()) == list(range(5, 21))
        assert len(tasks) == 0
        tasks.put(after(0, "again"))
        assert tasks.take() == "again"


def test_tasks_run_at_the_same_time(count):
    meeting = threading.Barrier(count)
    with OrderedTasks() as tasks:
        for _ in range(count):
            tasks.put(lambda: meeting.wait(10))
        assert sorted(tasks.drain()) == list(range(count))


def test_one_thread_is_no_thread(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "1")
    done = []
    with OrderedTasks() as tasks:
        tasks.put(lambda: done.append(threading.current_thread()))
        assert done == []  # not before its result is asked for
        tasks.take()
        tasks.put(lambda: done.append(None))
    assert done == [threading.current_thread()]


def test_the_bound(count):
    with OrderedTasks() as tasks:
        assert tasks.most_waiting == 2 * count
        for _ in range(2 * count):
            assert not tasks.is_full
            tasks.put(after(0, None))
        assert tasks.is_full
        tasks.take()
        assert not tasks.is_full
    with OrderedTasks(1) as tasks:
        tasks.put(after(0, None))
        assert tasks.is_full


def test_the_first_error_in_order_comes_first(count):
    with OrderedTasks() as tasks:
        tasks.put(after(0.01, "fine"))
        tasks.put(failing("first", 0.02))
        tasks.put(failing("second"))
        assert tasks.take() == "fine"
        with pytest.raises(ValueError, match="first"):
            tasks.take()
        with pytest.raises(ValueError, match="second"):
            tasks.take()


def test_an_error_drops_what_has_not_begun(count):
    begun = []

    def task() -> None:
        begun.append(None)
        time.sleep(0.01)

    def work() -> None:
        with OrderedTasks(100) as tasks:
            tasks.put(failing("wrong"))
            for _ in range(99):
                tasks.put(task)
            list(tasks.drain())

    with pytest.raises(ValueError, match="wrong"):
        work()
    assert len(begun) < 50
    number = len(begun)
    time.sleep(0.02)
    assert len(begun) == number


def test_close_waits_for_what_has_begun(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")
    begun, done = threading.Event(), []

    def task() -> None:
        begun.set()
        time.sleep(0.05)
        done.append(None)

    tasks = OrderedTasks[None]()
    tasks.put(task)
    assert begun.wait(10)
    tasks.close()
    assert done == [None]
    tasks.close()
    assert len(tasks) == 0
    with pytest.raises(IndexError):
        tasks.take()


@pytest.mark.parametrize("where", ["a thread is started", "a task is put"])
def test_an_interrupt_loses_neither_threads_nor_tasks(where, monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")
    owner, name = (
        (threading.Thread, "start") if where == "a thread is started" else (ThreadPoolExecutor, "submit")
    )
    original = getattr(owner, name)

    def interrupted(*arguments):
        original(*arguments)
        raise KeyboardInterrupt

    begun, done = [], []

    def task() -> None:
        begun.append(None)
        time.sleep(0.05)
        done.append(None)

    monkeypatch.setattr(owner, name, interrupted)
    tasks = OrderedTasks[None]()
    with pytest.raises(KeyboardInterrupt):
        tasks.put(task)
    tasks.close()
    assert workers() == []
    assert done == begun


def test_no_task_is_done_twice_when_there_are_no_threads_left(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")
    original, started = threading.Thread.start, []

    def start(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    gate, done = threading.Event(), []

    def task(number: int) -> int:
        if number == 0:
            gate.wait(10)
        done.append(number)
        return number

    with OrderedTasks[int]() as tasks:
        for number in range(6):
            tasks.put(partial(task, number))
        gate.set()
        assert list(tasks.drain()) == list(range(6))
    assert sorted(done) == list(range(6))


def test_errors_do_not_keep_themselves_alive(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")
    held: list[weakref.ref[threading.Event]] = []

    def task() -> None:
        large = threading.Event()  # something that can be watched
        held.append(weakref.ref(large))
        raise ValueError("wrong")

    gc.disable()
    try:
        with OrderedTasks[None]() as tasks:
            tasks.put(task)
            with suppress(ValueError):
                tasks.take()
        assert held[0]() is None
    finally:
        gc.enable()


def test_many_users_share_one_pool(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "3")
    first, second = OrderedTasks[int](), OrderedTasks[int]()
    for number in range(10):
        first.put(after(0.001, number))
        second.put(after(0.001, -number))
    assert len(workers()) <= 3
    assert list(first.drain()) == list(range(10))
    first.close()
    assert workers()
    assert list(second.drain()) == [-number for number in range(10)]
    second.close()


def test_users_on_many_threads(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")
    wrong = []

    def use(user: int) -> None:
        for _ in range(20):
            with OrderedTasks() as tasks:
                for number in range(5):
                    tasks.put(lambda number=number: (user, number))
                if list(tasks.drain()) != [(user, number) for number in range(5)]:
                    wrong.append(user)

    users = [threading.Thread(target=use, args=(user,)) for user in range(8)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join(20)
    assert not any(thread.is_alive() for thread in users)
    assert wrong == []


def test_tasks_that_nobody_closes_hold_no_thread_for_ever(monkeypatch):
    monkeypatch.setenv("LANCELET_THREADS", "2")

    def stream():
        with OrderedTasks() as tasks:
            for number in range(10):
                tasks.put(after(0.001, number))
            yield from tasks.drain()

    numbers = stream()
    assert next(numbers) == 0
    del numbers
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_the_tasks_itself(count):
    with OrderedTasks(100) as tasks:
        for number in range(20):
            tasks.put(after(0.005, number))
        assert tasks.take() == 0
        child = os.fork()
        if child == 0:
            status = 1
            try:
                inherited = list(tasks.drain())
                tasks.put(after(0, "late"))
                late = tasks.take()
                tasks.close()
                with OrderedTasks() as own:
                    for number in range(4):
                        own.put(after(0, number))
                    fresh = list(own.drain())
                fine = inherited == list(range(1, 20)) and late == "late" and fresh == [0, 1, 2, 3]
                status = 0 if fine and not workers() else 2
            finally:
                os._exit(status)
        assert list(tasks.drain()) == list(range(1, 20))
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5", " ", "²", "9" * 5000])
def test_numbers_of_threads(monkeypatch, wrong):
    monkeypatch.setenv("LANCELET_THREADS", wrong)
    with pytest.raises(OptionError, match="LANCELET_THREADS"):
        num_threads()


def test_the_default_number_of_threads(monkeypatch):
    monkeypatch.delenv("LANCELET_THREADS", raising=False)
    assert num_threads() >= 1
    monkeypatch.setenv("LANCELET_THREADS", "")
    assert num_threads() >= 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert num_threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_threads() == (os.cpu_count() or 1)


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, "LANCELET_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_tasks_while_the_interpreter_ends():
    program = """
        import atexit
        from lancelet.threads import OrderedTasks

        def work():
            with OrderedTasks() as tasks:
                for number in range(3):
                    tasks.put(lambda number=number: number)
                print(list(tasks.drain()))

        atexit.register(work)
        work()
    """
    assert run(program) == "[0, 1, 2]\n[0, 1, 2]\n"


def test_an_interpreter_ends_with_tasks_that_wait():
    program = """
        import time
        from lancelet.threads import OrderedTasks

        tasks = OrderedTasks()
        for number in range(4):
            tasks.put(lambda: time.sleep(0.01))
        tasks.take()
        print("end")
    """
    assert run(program) == "end\n"
