/**
 * True for `organization/name` as the hub allows it (huggingface_hub/utils/_validators.py, validate_repo_id).
 */
export function isHubId(name: string): boolean {
  return (
    name.length <= 96 && /^\w[\w.-]*\/\w[\w.-]*$/.test(name) && !/--|\.\.|[.-]$|[.-]\/|\.git$/.test(name)
  );
}
