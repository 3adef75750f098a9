/** Versions of what distri consists of; undefined for what can't be loaded. */
export interface Versions {
  readonly distri: string;
  readonly node: string;
  readonly onnxRuntime: string | undefined;
  readonly sharp: string | undefined;
  readonly libvips: string | undefined;
}

export async function describeVersions(distri: string, onnxRuntime: string | undefined): Promise<Versions> {
  const images = await sharpVersions();
  return {
    distri,
    node: process.versions.node,
    onnxRuntime,
    sharp: images?.sharp,
    libvips: images?.vips,
  };
}

async function sharpVersions(): Promise<{ readonly sharp?: string; readonly vips?: string } | undefined> {
  try {
    return (await import('sharp')).default.versions;
  } catch {
    return undefined;
  }
}
