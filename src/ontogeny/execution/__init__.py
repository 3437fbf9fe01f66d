"""Running jobs in this process or on workers: same results, one progress display, and no loss to a killed worker."""

from ontogeny.execution.cluster import Ray as Ray
from ontogeny.execution.jobs import Executor as Executor
from ontogeny.execution.jobs import FailedJob as FailedJob
from ontogeny.execution.jobs import Failures as Failures
from ontogeny.execution.jobs import Job as Job
from ontogeny.execution.jobs import WorkerLost as WorkerLost
from ontogeny.execution.jobs import failed_jobs as failed_jobs
from ontogeny.execution.processes import Processes as Processes
from ontogeny.execution.processes import default_executor as default_executor
from ontogeny.execution.serial import Serial as Serial
from ontogeny.execution.shards import Gather as Gather
from ontogeny.execution.shards import OtherShards as OtherShards
from ontogeny.execution.shards import Shard as Shard
