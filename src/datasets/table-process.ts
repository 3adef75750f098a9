import { DistriError, toError } from '../base/errors.js';
import { openArrow } from './arrow.js';
import { type CaptionDataset, datasetError, type ImageReader } from './caption-dataset.js';
import { openParquet } from './parquet.js';
import type { TableAnswers, TableFiles, TableQuestion, TableReply } from './table-messages.js';

/** Reads tables for the process that started this one; see isolated-tables.ts. */
class TableServer {
  private dataset: CaptionDataset | undefined;
  private images: Promise<ImageReader> | undefined;

  async reply(question: TableQuestion): Promise<TableReply> {
    try {
      return { value: await this.answer(question) };
    } catch (thrown) {
      const { code, message } = this.explain(thrown);
      return { error: { code, message } };
    }
  }

  private async answer({ kind, details }: TableQuestion): Promise<TableAnswers[keyof TableAnswers]> {
    if (kind === 'open') {
      this.dataset = await openTables(details);
      return this.dataset.images;
    }
    if (this.dataset === undefined) throw new Error('no tables are open');
    this.images ??= this.dataset.openImages();
    const images = await this.images;
    if (kind === 'read') return images.read(details.index);
    await images.check(details.count);
    return undefined;
  }

  /** The libraries for tables find out late that a file is damaged, and then fail somehow. */
  private explain(thrown: unknown): DistriError {
    if (thrown instanceof DistriError) return thrown;
    return datasetError(this.dataset?.name ?? 'the data set', `damaged: ${toError(thrown).message}`, thrown);
  }
}

async function openTables({ format, paths, name }: TableFiles): Promise<CaptionDataset> {
  try {
    return await (format === 'arrow' ? openArrow : openParquet)(paths, name);
  } catch (error) {
    if (error instanceof DistriError) throw error;
    throw datasetError(name, `damaged: ${toError(error).message}`, error);
  }
}

const server = new TableServer();
process.on('message', async (question: TableQuestion) => process.send?.(await server.reply(question)));
process.on('disconnect', () => process.exit());
// Ctrl-C is for the process that asks, which ends this one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
