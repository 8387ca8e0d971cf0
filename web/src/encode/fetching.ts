/** Files beside the page. */

export async function fetched(address: string): Promise<Response> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return response;
}

export async function bytesOf(address: string): Promise<ArrayBuffer> {
  return (await fetched(address)).arrayBuffer();
}
