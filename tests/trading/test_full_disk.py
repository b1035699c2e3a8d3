"""A disk that takes nothing more: no order goes out unrecorded, what waits at the venue stays in force.

In a process of its own, whose files may not grow any further from a certain write of the journal on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STORY = """if True:
    import asyncio, resource, sys
    from functools import partial
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from floor import Floor
    from tradebot.errors import JournalError

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def live(folder, fails_at):
        folder.mkdir()
        desk = Floor(folder, max_hold_s=120)
        writes = [0]

        def failing(write, *facts):
            writes[0] += 1
            if writes[0] == fails_at:
                if sys.argv[3] == "full":
                    limit(0)
                else:
                    desk.journal._db.execute("PRAGMA query_only = ON")
            return write(*facts)

        desk.journal.record = partial(failing, desk.journal.record)
        desk.journal.secure = partial(failing, desk.journal.secure)
        before, failed = [], False
        for act in (desk.buy, desk.cycle, desk.cycle, desk.cycle):
            try:
                await act()
            except JournalError as error:
                assert error.exit_code == 5
                assert "no order is sent without it" in str(error)
                failed = True
            unrecorded = {e.client_id for e in desk.exchange_orders()} - {o.client_id for o in desk.orders()}
            assert not unrecorded, unrecorded
            before = desk.guards()
        limit(resource.RLIM_INFINITY)
        assert failed == (fails_at <= writes[0])
        desk.restart()
        await desk.desk.reconcile()
        for _ in range(4):
            await desk.cycle()
        assert all(order.settled for order in desk.orders())
        assert len({e.client_id for e in desk.exchange_orders()}) == len(desk.exchange_orders())
        desk.agrees()
        desk.journal.close()
        return writes[0], bool(before)

    folder = Path(sys.argv[2])
    writes, _ = asyncio.run(live(folder / "none", 10**6))
    stories = [asyncio.run(live(folder / str(number), number)) for number in range(1, writes + 1)]
    print(writes, sum(protected for _, protected in stories))
"""


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_at_each_write_of_the_journal_nothing_is_sent_that_is_not_recorded(tmp_path, kind):
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(HERE), str(tmp_path), kind],
        env=os.environ, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    writes, protected = map(int, done.stdout.split())
    assert writes > 8
    assert protected > 2, "what waits at the venue is not touched by who cannot write"
