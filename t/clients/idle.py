"""Idle clients of Python: idle.py http|urllib3|aiohttp N URL. Each sends one
request, reads the answer, and leaves the connection to the library. Runs until
its standard input ends."""
import sys
import urllib.parse

kind, number, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
there = urllib.parse.urlsplit(url)


def with_http():
    import http.client
    kept = []
    for _ in range(number):
        kept.append(http.client.HTTPConnection(there.hostname, there.port))
        kept[-1].request('GET', '/')
        kept[-1].getresponse().read()
    print('answered', flush=True)
    sys.stdin.read()


def with_urllib3():
    import urllib3
    kept = []
    for _ in range(number):
        kept.append(urllib3.PoolManager())
        kept[-1].request('GET', url)
    print('answered', flush=True)
    sys.stdin.read()


def with_aiohttp():
    import asyncio
    import aiohttp

    async def ask(session):
        async with session.get(url) as answer:
            await answer.read()

    async def run():
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*[ask(session) for _ in range(number)])
            print('answered', flush=True)
            await asyncio.to_thread(sys.stdin.read)
    asyncio.run(run())


{'http': with_http, 'urllib3': with_urllib3, 'aiohttp': with_aiohttp}[kind]()
