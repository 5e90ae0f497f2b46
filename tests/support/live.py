"""All processes of an agreement on one machine, of which one party follows its source topic and is fed by replays."""

import asyncio
import json
import sys
from dataclasses import dataclass

from console.system import LocalSystem
from evaluation.keys import private_folder

FEED_SECONDS = 120.0


@dataclass
class LiveSystem(LocalSystem):
    """`fed`: the party; what nobody feeds it, it does not share."""

    fed: str = "insurer"

    def _processes(self, work, onboarded):
        roles = super()._processes(work, onboarded)
        place = next(n for n, role in enumerate(roles) if role.name == self.fed)
        self._replayed = {**roles[place].settings, "state": None}
        roles[place] = roles[place]._replace(settings={**roles[place].settings, "data": None})
        return roles

    async def feed(self, start=None, stop=None):
        """`winnow replay --send` of what the party's files have of these days of recording."""
        private_folder(self.root / "replay")
        config = self.work.configure("replay", self._replayed)
        days = [word for name, day in (("--from", start), ("--to", stop)) if day for word in (name, day)]
        code, out = await command("replay", "--config", config, *days, "--send")
        assert code == 0, out

    async def schedule(self, requester):
        """What `winnow schedule --json` prints."""
        code, out = await command("schedule", "--config", self.work.configuration(requester), "--json")
        assert code == 0, out
        return json.loads(out)


async def command(*arguments):
    """Run `winnow …` while this process follows its children; returns (exit code, output, or all of it if it failed)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.cli", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), FEED_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, (out + errors if process.returncode else out).decode()
