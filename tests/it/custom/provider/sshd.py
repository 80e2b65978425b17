"""An SSH server on loopback, of one host: sshd.py PORT AUTHORIZED_KEYS HOME. Its commands have HOME as their home."""
import asyncio
import os
import sys

import asyncssh

PORT, AUTHORIZED, HOME = int(sys.argv[1]), sys.argv[2], sys.argv[3]
PIPE = asyncio.subprocess.PIPE


async def run(process):
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(os.environ, HOME=HOME), cwd=HOME)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    await asyncssh.listen("127.0.0.1", PORT, server_host_keys=[key], authorized_client_keys=AUTHORIZED,
                          process_factory=run, encoding=None)
    await asyncio.Event().wait()


asyncio.run(main())
