"""What a web3.py program does, reported as facts that do not depend on when or how often it ran.

The same script runs against a node and through the hub, and the reports must be equal:

    web3_compare.py HTTP_URL WS_URL TOKEN HOLDER RECEIVER
"""

import asyncio
import json
import sys

from web3 import AsyncWeb3, Web3, WebSocketProvider

http_url, ws_url, token, holder, receiver = sys.argv[1:]
token, holder, receiver = map(Web3.to_checksum_address, (token, holder, receiver))
ABI = [
    {"type": "event", "name": "Transfer", "anonymous": False, "inputs": [
        {"name": "from", "type": "address", "indexed": True},
        {"name": "to", "type": "address", "indexed": True},
        {"name": "value", "type": "uint256", "indexed": False}]},
    {"type": "function", "name": "balanceOf", "stateMutability": "view",
     "inputs": [{"name": "holder", "type": "address"}], "outputs": [{"name": "", "type": "uint256"}]},
    {"type": "function", "name": "transfer", "stateMutability": "nonpayable",
     "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
     "outputs": [{"name": "", "type": "bool"}]},
]


def failure(call):
    try:
        call()
        return "no error"
    except Exception as error:  # the kind of error is what is compared
        return [type(error).__name__, str(getattr(error, "data", None))]


async def first_head(started):
    """The number of the first head that a subscription brings, as a difference to `started`."""
    async with AsyncWeb3(WebSocketProvider(ws_url)) as live:
        await live.eth.subscribe("newHeads")
        w3.provider.make_request("eth_sendTransaction", [
            {"from": holder, "to": receiver, "value": "0x1", "gas": "0x5208"}])
        async for message in live.socket.process_subscriptions():
            return message["result"]["number"] > started


w3 = Web3(Web3.HTTPProvider(http_url))
coin = w3.eth.contract(address=token, abi=ABI)
early = w3.eth.get_block(8, True)
before = coin.functions.balanceOf(receiver).call()
sent = coin.functions.transfer(receiver, 23).transact({"from": holder, "gas": 200000})
receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=15, poll_latency=0.05)
after = coin.functions.balanceOf(receiver).call()
events = coin.events.Transfer().get_logs(from_block=0, to_block=30)
watch = w3.eth.filter({"address": token})
coin.functions.transfer(receiver, 1).transact({"from": holder, "gas": 200000})
changes = []
for _ in range(100):
    changes.extend(watch.get_new_entries())
    if changes:
        break
    asyncio.run(asyncio.sleep(0.05))
too_much = coin.functions.transfer(receiver, 10**30)
print(json.dumps({
    "connected": w3.is_connected(),
    "chain_id": w3.eth.chain_id,
    "net": w3.net.version,
    "client": w3.client_version,
    "genesis": w3.eth.get_block(0)["hash"].hex(),
    "early": [early["hash"].hex(), [t["hash"].hex() for t in early["transactions"]]],
    "moved": after - before,
    "past": coin.functions.balanceOf(receiver).call(block_identifier=8),
    "status": receipt["status"],
    "logs": len(receipt["logs"]),
    "events": [[e["blockNumber"], e["logIndex"], str(e["args"]["value"])] for e in events],
    "changes": [[c["logIndex"], c["removed"]] for c in changes],
    "code": len(w3.eth.get_code(token)),
    "storage": w3.eth.get_storage_at(token, 0).hex(),
    "revert": failure(lambda: too_much.call({"from": holder}, block_identifier=8)),
    "gas_revert": failure(lambda: too_much.estimate_gas({"from": holder}, block_identifier=8)),
    "missing_block": failure(lambda: w3.eth.get_block(10**7)),
    "missing_transaction": failure(lambda: w3.eth.get_transaction("0x" + "12" * 32)),
    "unknown_block": failure(lambda: coin.functions.balanceOf(receiver).call(block_identifier=10**7)),
    "no_method": w3.provider.make_request("eth_noSuchMethod", [])["error"]["code"],
    "saw_head": asyncio.run(first_head(w3.eth.block_number)),
}))
