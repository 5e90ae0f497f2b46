"""A chain endpoint that does not tell the truth."""

from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

SECONDS = aiohttp.ClientTimeout(10)


@asynccontextmanager
async def lying(url, ask=lambda method, parameters: parameters, answer=lambda method, result: result):
    """The address of an endpoint that passes calls on to the one at `url`, with other parameters and other results."""
    async with aiohttp.ClientSession(timeout=SECONDS) as session:

        async def passed(request):
            call = await request.json()
            call["params"] = ask(call["method"], call["params"])
            async with session.post(url, json=call) as response:
                found = await response.json()
            if "result" in found:
                found["result"] = answer(call["method"], found["result"])
            return web.json_response(found)

        application = web.Application()
        application.router.add_post("/", passed)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
