"""plain.py: what the boot script asks of a machine that a program of the user's made.

  notice   says that the machine is taken back: what stands in the file `notice` beside this one; fails without it
"""
import os
import sys


def main(what):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "notice")
    if what != "notice" or not os.path.exists(path):
        return 1
    with open(path) as notice:
        print(notice.read().strip() or "taken back")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
