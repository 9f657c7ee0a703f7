"""A process that takes from one bucket as fast as it can: started four times by a test."""

import sys

from redis import Redis

from apps.gateway.rate_limit import Bucket, RateLimiter

if __name__ == "__main__":
    url, key, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    limiter = RateLimiter(Redis.from_url(url))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    passed = sum(limiter.take([Bucket(key, 100, 100)]).is_allowed for _ in range(calls))
    sys.stdout.write(f"{passed}\n")
