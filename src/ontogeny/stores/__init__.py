"""Stored weights and artefacts behind one interface: in memory, in a run's folder, or in files of other tools."""

from ontogeny.stores.checkpoints import Checkpoints as Checkpoints
from ontogeny.stores.checkpoints import DirectoryCheckpoints as DirectoryCheckpoints
from ontogeny.stores.checkpoints import MemoryCheckpoints as MemoryCheckpoints
from ontogeny.stores.files import write_atomically as write_atomically
from ontogeny.stores.files import write_json as write_json
from ontogeny.stores.hub_checkpoints import HubCheckpoints as HubCheckpoints
from ontogeny.stores.hub_opening import Hub as Hub
from ontogeny.stores.layouts import read_weights as read_weights
from ontogeny.stores.loading import load_into as load_into
from ontogeny.stores.locks import locked as locked
from ontogeny.stores.manifest import begin as begin
from ontogeny.stores.manifest import read_manifest as read_manifest
from ontogeny.stores.manifest import seal as seal
from ontogeny.stores.manifest import sha256 as sha256
from ontogeny.stores.opening import open_checkpoints as open_checkpoints
from ontogeny.stores.repository import HubUnreachable as HubUnreachable
from ontogeny.stores.schedule import CheckpointSchedule as CheckpointSchedule
from ontogeny.stores.schedule import checkpoint_steps as checkpoint_steps
from ontogeny.stores.scratch import ScratchFolder as ScratchFolder
from ontogeny.stores.temporaries import is_stale as is_stale
from ontogeny.stores.temporaries import process_name as process_name
from ontogeny.stores.temporaries import remove as remove
from ontogeny.stores.trees import ZarrSink as ZarrSink
from ontogeny.stores.trees import read_tree as read_tree
from ontogeny.stores.trees import write_tree as write_tree
