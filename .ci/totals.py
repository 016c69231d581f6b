"""Prints what trial's summary says as one plain line; fails where there is no summary or a test failed.

Skips that hide what matters fail too: without a real Redis server the tests prove little.
"""

import re
import sys

text = open(sys.argv[1], encoding="utf-8", errors="replace").read()
ran = re.findall(r"^Ran (\d+) tests in ", text, re.MULTILINE)
verdicts = re.findall(r"^(PASSED|FAILED)(?: \((.*)\))?$", text, re.MULTILINE)
counts = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", verdicts[-1][1])} if verdicts else {}
skipped = counts.get("skips", 0) + counts.get("expectedFailures", 0)
failed = counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpectedSuccesses", 0)
passed = counts.get("successes", 0)
trouble = ""
if not ran or not verdicts:
    trouble, failed = "the test run has no summary: it did not end", failed + 1
elif passed == 0:
    trouble, failed = "not one test passed", failed + 1
elif "no Redis server" in text:
    trouble, failed = "tests were skipped for want of a Redis server", failed + 1
if trouble:
    print(trouble)
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed else 0)
