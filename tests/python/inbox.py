"""What comes back to a plain client, and when? Its own subscription on a reply subject; nothing of ours."""

import asyncio
import time

from contract import Codec

# After a terminal answer, this long nothing may follow.
QUIET = 0.3
# What a model does on a busy machine takes no longer.
PATIENCE = 60


class Inbox:
    """Everything that came in on one subject or wildcard."""

    def __init__(self):
        self.messages = []
        self.times = []
        self._news = asyncio.Event()

    @classmethod
    async def open(cls, client, subject: str | None = None):
        inbox = cls()
        inbox.subject = subject or client.new_inbox()
        inbox._subscription = await client.subscribe(inbox.subject, cb=inbox._take)
        # Past the server before anything is asked.
        await client.flush()
        return inbox

    async def _take(self, message):
        self.times.append(time.monotonic())
        self.messages.append(message)
        self._news.set()

    async def until(self, is_so, within: float = PATIENCE):
        """Waits until `is_so` of all messages so far."""

        async def wait():
            while not is_so(self.messages):
                self._news.clear()
                await self._news.wait()

        try:
            await asyncio.wait_for(wait(), within)
        except asyncio.TimeoutError:
            raise AssertionError(f"not within {within} s; what came: {[m.data[:200] for m in self.messages[-20:]]}") from None

    async def count(self, number: int, within: float = PATIENCE):
        """Waits for so many messages, and that no more come."""
        await self.until(lambda messages: len(messages) >= number, within)
        await asyncio.sleep(QUIET)
        assert len(self.messages) == number

    async def close(self):
        await self._subscription.unsubscribe()


async def request(client, subject: str, body: dict, codec: Codec, headers: dict | None = None) -> dict:
    """One question, one answer: nats-py's own request, which has one inbox for all of them."""
    message = await client.request(subject, codec.pack(body), timeout=PATIENCE, headers=headers)
    return codec.unpack(message.data)


async def stream(client, subject: str, body: dict, codec: Codec, headers: dict | None = None) -> tuple[list[dict], dict]:
    """One question; its frames, and its terminal answer, after which nothing came."""
    inbox = await Inbox.open(client)
    await client.publish(subject, codec.pack(body), reply=inbox.subject, headers=headers)
    await inbox.until(lambda messages: messages and codec.unpack(messages[-1].data).get("done"))
    await inbox.count(len(inbox.messages))
    await inbox.close()
    *frames, end = (codec.unpack(message.data) for message in inbox.messages)
    assert not any(frame.get("done") for frame in frames)
    return frames, end
