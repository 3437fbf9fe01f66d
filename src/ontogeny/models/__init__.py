"""Small reference networks, and the one mechanism by which activations of any network are read and replaced."""

from ontogeny.models.anatomy import Head as Head
from ontogeny.models.anatomy import heads as heads
from ontogeny.models.hooks import Intervention as Intervention
from ontogeny.models.interventions import intervene as intervene
from ontogeny.models.interventions import run_with_cache as run_with_cache
from ontogeny.models.parts import components as components
from ontogeny.models.parts import restrict as restrict
from ontogeny.models.places import Site as Site
from ontogeny.models.places import TensorSlice as TensorSlice
from ontogeny.models.recurrent import RecurrentConfig as RecurrentConfig
from ontogeny.models.recurrent import RecurrentNetwork as RecurrentNetwork
from ontogeny.models.regression import RegressionConfig as RegressionConfig
from ontogeny.models.regression import RegressionTransformer as RegressionTransformer
from ontogeny.models.transformer import HookPoint as HookPoint
from ontogeny.models.transformer import Transformer as Transformer
from ontogeny.models.transformer import TransformerConfig as TransformerConfig
