export interface Tool {
  name: string;
  major: number;
}
export function findTool(...names: string[]): Tool | undefined;
export function findClang(): Tool | undefined;
export function findStrip(): Tool | undefined;
export function programs(): string[];
export function folderOf(name: string): string;
export function compile(name: string, folder?: string): string;
