"""What the MCP SDK's own client does; one line of JSON for each step.

Says "ready" and waits for a line before it connects. Arguments: the URL of the server, then the steps."""

import asyncio
import json
import sys

from mcp.client.client import Client

STEPS = {
    "list": lambda client: client.list_tools(),
    "search": lambda client: client.call_tool("search_documents", {"query": "first"}),
    "add": lambda client: client.call_tool("add_document", {"text": "second"}),
}


async def tell(step, client):
    told = {"step": step}
    try:
        result = await STEPS[step](client)
        content = getattr(result, "content", None)
        told["ok"] = content[0].text if content else len(result.tools)
        told["is_error"] = bool(getattr(result, "is_error", False))
    except Exception as error:  # whatever the SDK raises is what is to be told
        told["error"] = type(error).__name__
        told["message"] = str(error)
        told["code"] = getattr(getattr(error, "error", None), "code", None)
        told["data"] = getattr(getattr(error, "error", None), "data", None)
    print(json.dumps(told), flush=True)


async def main():
    url, *steps = sys.argv[1:]
    async with Client(url) as client:
        for step in steps:
            await tell(step, client)


print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
