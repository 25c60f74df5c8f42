"""Routes of channels: where messages go, a test of one, and what became of each message."""

from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Response

from service.api.dependencies import (
    ConnectionDep,
    PrincipalDep,
    RuntimeDep,
    body,
    id_path,
    json_body,
    open_transaction,
)
from service.api.one_thread import OneThread
from service.db.messages import channels as stored
from service.db.messages import outbox
from service.messages import channels
from service.schemas.people.channels import (
    ChannelChange,
    ChannelsView,
    ChannelView,
    DeliveriesView,
    DeliveryView,
    MadeChannel,
    NewChannel,
    TriedView,
)

router = APIRouter(prefix="/v1/channels", tags=["channels"], route_class=OneThread)
ChannelId = Annotated[str, id_path("chn")]
SHOWN_DELIVERIES = 50


@router.get("", operation_id="list_channels")
def list_channels(principal: PrincipalDep, connection: ConnectionDep) -> ChannelsView:
    """List your own channels, newest first, and for an admin also those of the project."""
    return ChannelsView(items=[channels.view(each) for each in stored.list_all(connection, principal)])


@router.post("", operation_id="post_channel", status_code=201, openapi_extra=json_body(NewChannel))
def post_channel(
    wanted: Annotated[NewChannel, Depends(body(NewChannel))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
) -> MadeChannel:
    """Make a channel. Only this response holds the secret that signs the messages to a webhook."""
    made = channels.make(connection, principal, runtime.settings, wanted)
    response.headers["Location"] = f"/v1/channels/{made.id}"
    return made


@router.get("/{channel_id}", operation_id="get_channel")
def get_channel(channel_id: ChannelId, principal: PrincipalDep, connection: ConnectionDep) -> ChannelView:
    """Return one channel."""
    return channels.view(stored.get(connection, principal, channel_id))


@router.patch("/{channel_id}", operation_id="patch_channel", openapi_extra=json_body(ChannelChange))
def patch_channel(
    channel_id: ChannelId,
    wanted: Annotated[ChannelChange, Depends(body(ChannelChange))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
) -> ChannelView:
    """Change a channel, or start it again after it was disabled."""
    return channels.change(connection, principal, runtime.settings, channel_id, wanted)


@router.delete("/{channel_id}", operation_id="delete_channel", status_code=204)
def delete_channel(channel_id: ChannelId, principal: PrincipalDep, connection: ConnectionDep) -> None:
    """Delete a channel, with its address and secret; messages that wait are not sent."""
    stored.remove(connection, stored.get(connection, principal, channel_id), principal)


@router.post("/{channel_id}/rotate", operation_id="rotate_channel", status_code=201)
def rotate_channel(channel_id: ChannelId, principal: PrincipalDep, connection: ConnectionDep) -> MadeChannel:
    """Give a webhook a new secret. For a day messages are signed by both, so that the receiver can change over."""
    found = stored.get(connection, principal, channel_id)
    return MadeChannel.of(channels.view(found), secret=stored.rotate(connection, found, principal))


@router.post("/{channel_id}/test", operation_id="test_channel")
async def test_channel(channel_id: ChannelId, principal: PrincipalDep, runtime: RuntimeDep) -> TriedView:
    """Send a test message now, and return what the receiver says within 10 seconds."""
    async with open_transaction(runtime) as connection:
        message = await anyio.to_thread.run_sync(channels.begin_test, connection, principal, channel_id)
    finish = partial(channels.finish_test, runtime.engine, runtime.settings, message)
    return await anyio.to_thread.run_sync(finish, limiter=runtime.message_threads)


@router.get("/{channel_id}/deliveries", operation_id="list_deliveries")
def list_deliveries(channel_id: ChannelId, principal: PrincipalDep, connection: ConnectionDep) -> DeliveriesView:
    """List the last 50 messages of a channel, newest first: when, how often tried, and what the receiver said."""
    stored.get(connection, principal, channel_id)
    newest = outbox.newest(connection, channel_id, SHOWN_DELIVERIES)
    return DeliveriesView(items=[DeliveryView.of(each, events=list(each.events)) for each in newest])
