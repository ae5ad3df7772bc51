// How a run computes, what it watches while it does, and what it leaves behind.
import { z } from 'zod';

export const engine = z.object({
  precision: z.enum(['auto', 'fp32', 'bf16', 'fp16']).default('auto')
    .meta({ description: 'Numbers of the matrix products. auto: bf16 on a GPU, fp32 on a CPU. Weights and optimizer are kept in fp32; fp16 scales the loss.' }),
  sharding: z.enum(['auto', 'none', 'full']).default('auto')
    .meta({ description: 'none: every device holds the whole model. full: weights, gradients and optimizer are split over all devices (FSDP2). auto: none when the estimate fits one device, else full.' }),
  activationCheckpointing: z.boolean().default(false)
    .meta({ description: 'Keep only the input of each layer and compute the layer again in the backward pass: about a third more computing for a fraction of the memory.' }),
  compile: z.enum(['auto', 'on', 'off']).default('auto').meta({ description: 'Whether layers are compiled (torch.compile). auto: on for a GPU, off for a CPU.' }),
}).meta({ description: 'How the numbers are computed.' });

const FORMATS = ['huggingface', 'onnx'] as const;

export const exported = z.object({
  formats: z.array(z.enum(FORMATS)).max(FORMATS.length).default([])
    .meta({ description: 'Formats the best checkpoint is written in after the last step, each into export/<format> below status.checkpointDirectoryUri: huggingface is the official reward layout, onnx the shared-prefix graph.', 'x-kubernetes-list-type': 'set' }),
}).meta({ description: 'What is written besides checkpoints when training has ended.' });
