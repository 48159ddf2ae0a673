"""An MCP server over stdin and stdout with one tool, `note`, which keeps a text in the file that NOTES names."""

import json
import os
import sys

TOOL = {
    "name": "note",
    "description": "Keeps a note.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "mesh", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        text = params["arguments"]["text"]
        with open(os.environ["NOTES"], "a", encoding="utf-8") as notes:
            notes.write(text + "\n")
        return {"content": [{"type": "text", "text": f"noted: {text}"}]}
    return {} if method == "ping" else None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    result = answer(message["method"], message.get("params") or {})
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    if result is None:
        reply["error"] = {"code": -32601, "message": f"no method {message['method']}"}
    else:
        reply["result"] = result
    print(json.dumps(reply), flush=True)
