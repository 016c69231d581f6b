"""The messages of `client.proto` of github.com/centrifugal/protocol, v0.23.1, for Google's library.

A table apart from the dialect's own: it is what that one is compared with, and has the fields that are left out there.
"""

from __future__ import annotations

from tests.support.google_protobuf import GoogleMessage

__all__ = ["GOOGLE_COMMAND", "GOOGLE_REPLY"]

_TABLE = """
    Error code:1:uint32 message:2:string temporary:3:bool
    ClientInfo user:1:string client:2:string conn_info:3:bytes chan_info:4:bytes
    Publication data:4:bytes info:5:ClientInfo offset:6:uint64 tags:7:{string} delta:8:bool time:9:int64
        channel:10:string key:11:string removed:12:bool score:13:sint64 epoch:14:string prev_data:15:bytes
        version:16:uint64
    StreamPosition offset:1:uint64 epoch:2:string
    FilterNode op:1:string key:2:string cmp:3:string val:4:string vals:5:*string nodes:6:*FilterNode
    Dictionary id:1:string data:2:bytes data_b64:3:string
    KeyedItem key:1:string version:2:uint64
    TrackBatch signature:1:string items:2:*KeyedItem

    ConnectRequest token:1:string data:2:bytes subs:3:{SubscribeRequest} name:4:string version:5:string
        headers:6:{string} flag:7:int64 dict:8:string profile:9:string
    SubscribeRequest channel:1:string token:2:string recover:3:bool epoch:6:string offset:7:uint64 data:8:bytes
        positioned:9:bool recoverable:10:bool join_leave:11:bool delta:12:string tf:13:FilterNode flag:14:int64
        type:15:int32 phase:16:int32 cursor:17:string limit:18:int32 asc:19:bool
    UnsubscribeRequest channel:1:string
    PublishRequest channel:1:string data:2:bytes type:3:int32 key:4:string removed:5:bool
    PresenceRequest channel:1:string
    PresenceStatsRequest channel:1:string
    HistoryRequest channel:1:string limit:7:int32 since:8:StreamPosition reverse:9:bool
    PingRequest
    SendRequest data:1:bytes
    RPCRequest data:1:bytes method:2:string
    RefreshRequest token:1:string
    SubRefreshRequest channel:1:string token:2:string type:3:int32 track:4:*TrackBatch untrack:5:*string
    Command id:1:uint32 connect:4:ConnectRequest subscribe:5:SubscribeRequest unsubscribe:6:UnsubscribeRequest
        publish:7:PublishRequest presence:8:PresenceRequest presence_stats:9:PresenceStatsRequest
        history:10:HistoryRequest ping:11:PingRequest send:12:SendRequest rpc:13:RPCRequest
        refresh:14:RefreshRequest sub_refresh:15:SubRefreshRequest

    ConnectResult client:1:string version:2:string expires:3:bool ttl:4:uint32 data:5:bytes subs:6:{SubscribeResult}
        ping:7:uint32 pong:8:bool session:9:string node:10:string time:11:int64 flag:12:int64 dict:13:Dictionary
    SubscribeResult expires:1:bool ttl:2:uint32 recoverable:3:bool epoch:6:string publications:7:*Publication
        recovered:8:bool offset:9:uint64 positioned:10:bool data:11:bytes was_recovering:12:bool delta:13:bool
        id:14:int64 type:15:int32 phase:16:int32 cursor:17:string state:18:*Publication publish_debounce:19:uint32
    UnsubscribeResult
    PublishResult
    PresenceResult presence:1:{ClientInfo}
    PresenceStatsResult num_clients:1:uint32 num_users:2:uint32
    HistoryResult publications:1:*Publication epoch:2:string offset:3:uint64
    PingResult
    RPCResult data:1:bytes
    RefreshResult client:1:string version:2:string expires:3:bool ttl:4:uint32
    SubRefreshResult expires:1:bool ttl:2:uint32 items:3:*Publication

    Join info:1:ClientInfo
    Leave info:1:ClientInfo
    Unsubscribe code:2:uint32 reason:3:string
    Subscribe recoverable:1:bool epoch:4:string offset:5:uint64 positioned:6:bool data:7:bytes
    Message data:1:bytes
    Connect client:1:string version:2:string data:3:bytes subs:4:{SubscribeResult} expires:5:bool ttl:6:uint32
        ping:7:uint32 pong:8:bool session:9:string node:10:string time:11:int64
    Disconnect code:1:uint32 reason:2:string reconnect:3:bool
    Refresh expires:1:bool ttl:2:uint32
    Push id:1:int64 channel:2:string pub:4:Publication join:5:Join leave:6:Leave unsubscribe:7:Unsubscribe
        message:8:Message subscribe:9:Subscribe connect:10:Connect disconnect:11:Disconnect refresh:12:Refresh
    Reply id:1:uint32 error:2:Error push:4:Push connect:5:ConnectResult subscribe:6:SubscribeResult
        unsubscribe:7:UnsubscribeResult publish:8:PublishResult presence:9:PresenceResult
        presence_stats:10:PresenceStatsResult history:11:HistoryResult ping:12:PingResult rpc:13:RPCResult
        refresh:14:RefreshResult sub_refresh:15:SubRefreshResult
"""

GOOGLE_COMMAND = GoogleMessage(_TABLE, "Command")
GOOGLE_REPLY = GoogleMessage(_TABLE, "Reply")
